"""Validation: what others published about models and corpora at hand, held against what innerear finds."""
