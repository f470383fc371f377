"""One pass of clips through a model, what is read of it, and the cache of what was read."""
