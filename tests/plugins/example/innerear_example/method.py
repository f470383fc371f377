"""A localisation method of one's own."""

import torch


def first_of_all(problem):
    """Suspect the first component, then the second, and so on."""
    return -torch.arange(float(len(problem.sites)))
