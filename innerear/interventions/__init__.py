"""Ablate, patch, steer and sweep: what to write into a running model, and how."""
