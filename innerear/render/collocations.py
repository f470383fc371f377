"""Render `innerear-collocations`: minimal pairs of which the model organisms know what follows."""

from functools import partial

from innerear.render import pairs

NAME = "innerear-collocations"
render = partial(pairs.render, name=NAME)
