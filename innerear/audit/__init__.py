"""Stress tests of headline metrics, and validation of innerear against published numbers."""
