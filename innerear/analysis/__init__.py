"""Analyses of captured states: probes, lenses, ABX, sparse autoencoders."""
