"""Corpora: one schema, and the ways in."""
