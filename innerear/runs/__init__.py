"""Carrying out plans: running, tracking, reproducing, submitting and pulling results."""
