"""Models with a cause planted by weight surgery, and the methods that are asked to find it."""
