"""Text that comes from others made plain: on one line, as part of a file name."""

import re

_CONTROLS = r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
"""Those of a terminal, and those that turn the direction of writing round."""
LONGEST = 60
"""Bytes of a part of a file name: a path's last piece has a few of them, and 255 at the most."""


def clean(text: str) -> str:
    """Text on one line, without control characters: a name cannot move the cursor, nor turn what follows."""
    return " ".join(clean_lines(text).split())


def clean_lines(text: str) -> str:
    """Text whose lines stay as they are, without control characters."""
    return re.sub(rf"(?!\n){_CONTROLS}", " ", text)


def slug(text: str) -> str:
    """Text as part of a file name: no separators, no leading dot, not too long."""
    made = re.sub(r"[^\w.-]+", "-", text).encode()[:LONGEST].decode(errors="ignore")
    return made.strip(".-") or "unnamed"
