"""Ablate, patch, steer, sweep: what is written into a running model, and what comes of it."""
