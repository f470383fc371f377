"""Weights that arrive in another program's format, turned into what `transformers` loads."""
