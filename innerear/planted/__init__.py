"""Models with a cause of misbehaviour planted by weight surgery, and the methods that should find it."""
