"""Check what a release is made of, and write its notes: the part of CHANGELOG.md that is about its version.

`python docs/release.py FOLDER` is the end of `tox -e release`: FOLDER holds the wheel and the source archive,
and gets the notes beside it.
"""

import re
import sys
from pathlib import Path

import yaml

from innerear.util.errors import InnerearError
from innerear.util.io import write_bytes
from innerear.util.version import __version__

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 95_000_000
"""Bytes of a file: the package index takes 100 MB, and what comes with the next results needs room."""


def notes(changelog: str, version: str) -> str:
    """The notes of a release: the section of its version, without its heading.

    Raises
    ------
    InnerearError
        If there is none, or it says nothing.
    """
    sections = re.split(r"^## ", changelog, flags=re.M)[1:]
    own = next((text for text in sections if re.match(rf"{re.escape(version)}(\s|$)", text)), "")
    said = own.partition("\n")[2].strip()
    if not said:
        raise InnerearError(f"CHANGELOG.md says nothing of {version}: add a section `## {version} (DATE)`")
    return f"{said}\n"


def check(folder: Path, citation: str) -> None:
    """Check the files of a release, and what is cited.

    Raises
    ------
    InnerearError
        If a file is missing or too large, or the citation is of another version.
    """
    for pattern in (f"innerear-{__version__}-py3-none-any.whl", f"innerear-{__version__}.tar.gz"):
        path = folder / pattern
        if not path.is_file():
            raise InnerearError(f"{path}: not built; `tox -e release` builds it")
        size = path.stat().st_size
        print(f"{path.name}: {size / 1e6:.1f} MB")
        if size > LARGEST:
            raise InnerearError(f"{path.name} has {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}")
    cited = yaml.safe_load(citation)["version"]
    if cited != __version__:
        raise InnerearError(f"CITATION.cff is of version {cited}, and this is {__version__}")


def main() -> None:
    """Check the files in a folder, and write the notes beside it."""
    folder = Path(sys.argv[1])
    try:
        check(folder, (ROOT / "CITATION.cff").read_text())
        written = folder.parent / "release-notes.md"
        write_bytes(written, notes((ROOT / "CHANGELOG.md").read_text(), __version__).encode())
    except InnerearError as error:
        sys.exit(f"release: {error}")
    print(f"notes: {written}")


if __name__ == "__main__":
    main()
