"""Lets MkDocs build one site of all documents of the repository, where they are: links between them hold.

A hook of `mkdocs.yml`. Cards of tasks and corpora are found here, so that a new one needs no entry there.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

TOP = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "*.md",
    "docs/**/*.md",
    "tasks/**/*.md",
    "baselines/*.md",
    "results/*.md",
    "innerear/data/corpora/*/*.md",
)
LISTED = {"Tasks": "tasks/*/README.md", "Corpora": "innerear/data/corpora/*/README.md"}
"""Entries of the navigation, and the cards below them."""
LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the cards under their names."""
    for entry in config.nav or []:
        for title, pattern in LISTED.items():
            if title in entry:
                cards = sorted(TOP.glob(pattern))
                entry[title] = [{card.parent.name: card.relative_to(TOP).as_posix()} for card in cards]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the documents, and the files of the repository that they link to, under their own paths."""
    documents = {path for pattern in DOCUMENTS for path in TOP.glob(pattern)}
    linked = {
        (path.parent / link).resolve() for path in documents for link in LINK.findall(path.read_text("utf-8"))
    }
    names = sorted(
        path.relative_to(TOP).as_posix()
        for path in documents | linked
        if path.is_file() and path.is_relative_to(TOP)
    )
    of_the_theme = [file for file in files if file.src_dir != config.docs_dir]
    own = [File(name, str(TOP), config.site_dir, config.use_directory_urls) for name in names]
    return Files([*of_the_theme, *own])
