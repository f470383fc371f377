"""Stress tests of every headline metric, and innerear against what others published."""
