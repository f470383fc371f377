"""innerear: what a speech recogniser knows at each layer, and which part of it causes its errors."""

__version__ = "0.1.0"
