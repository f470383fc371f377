"""Make text from untrusted sources safe to show on one line or to use in a file name."""

import re

_CONTROLS = re.compile(r"(?!\n)[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters of terminals but line breaks, those that reverse writing, and bytes of no encoding."""
LONGEST = 60
"""Maximum bytes of a slug: a file name has a few of them, and at most 255 bytes."""


def clean(text: str) -> str:
    """Text on one line, without control characters: a name cannot move the cursor or reverse the text."""
    return " ".join(clean_lines(text).split())


def clean_lines(text: str) -> str:
    """Text without control characters; line breaks stay."""
    return _CONTROLS.sub(" ", text)


def slug(text: str) -> str:
    """Text as part of a file name: no separators, no leading dot, not too long."""
    made = re.sub(r"[^\w.-]+", "-", text).encode()[:LONGEST].decode(errors="ignore")
    return made.strip(".-") or "unnamed"
