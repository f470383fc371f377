"""Look into one clip, or at one result: in a notebook, and as a page."""
