"""The audit of headline metrics: whether each answers to damage, and what else moves it."""
