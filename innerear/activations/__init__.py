"""One forward pass of clips through a model, the readings taken from it, and their cache."""
