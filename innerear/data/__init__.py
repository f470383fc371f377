"""Corpora and their clips: labels, audio, splits, text, phones, pronunciations."""
