"""The version of innerear, as results and pages state it."""

__version__ = "0.1.0"
