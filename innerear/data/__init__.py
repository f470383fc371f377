"""Corpora and what is done with their clips: labels, audio, splits, text, phones, pronunciations."""
