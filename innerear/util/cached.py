"""Cached files that prove themselves: a damaged one counts as none; one that cannot be written is left out.

A file is the SHA-256 of its content and then the content. Hashing costs about as much as reading from memory
(0.8 ms for each MiB), and a cache cannot turn a flipped bit into a wrong number.
"""

import logging
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from innerear.util.errors import InputError
from innerear.util.io import write_bytes
from innerear.util.words import counted

SUFFIX = ".cached"
"""Of the name of every such file."""

_log = logging.getLogger("innerear")
_LENGTH = sha256().digest_size


@dataclass
class CacheUse:
    """Reads and writes cached files, and counts what went wrong; forked processes return theirs to be added.

    Attributes
    ----------
    damaged
        Number of files that were not what had been written.
    unwritten
        Why the first file that failed could not be written; '' if all were.
    """

    damaged: int = 0
    unwritten: str = ""

    def read(self, path: Path) -> bytes | None:
        """The content of a file, or None if there is none or it is damaged."""
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # such as a bad sector, or a folder in its place
            data = b""
        digest, content = data[:_LENGTH], data[_LENGTH:]
        if sha256(content).digest() == digest:
            return content
        self.damaged += 1
        return None

    def write(self, path: Path, content: bytes) -> bool:
        """Write a file; if that is not possible, what it holds is computed again where it is needed again.

        Returns
        -------
        bool
            Whether it was written.
        """
        try:
            write_bytes(path, sha256(content).digest() + content)
        except InputError as error:
            self.unwritten = self.unwritten or getattr(error.__cause__, "strerror", None) or str(error)
            return False
        return True

    def add(self, other: "CacheUse") -> None:
        """Add what another process counted."""
        self.damaged += other.damaged
        self.unwritten = self.unwritten or other.unwritten

    def warn(self, folder: Path) -> None:
        """Log what went wrong in a cache: damage with its count, and once that it cannot be written."""
        if self.damaged:
            what = counted(self.damaged, "cached file", "was")
            _log.warning("%s: %s damaged and computed again; check the disk", folder, what)
        if self.unwritten:
            _warn_unwritten(folder, self.unwritten)


@cache
def _warn_unwritten(folder: Path, reason: str) -> None:
    _log.warning("%s: going on without caching, so a second run computes it again (%s)", folder, reason)
