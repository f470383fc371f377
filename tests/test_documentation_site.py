"""The documentation builds as a site without a warning, and loads nothing from other hosts."""

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

TOP = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages by their path, built so that any warning is an error."""
    folder = tmp_path_factory.mktemp("docs")
    build(load_config(str(TOP / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.html")}


def test_every_card_and_every_document_has_a_page(pages):
    for path in (*TOP.glob("docs/**/*.md"), *TOP.glob("tasks/**/*.md")):
        name = path.relative_to(TOP)
        page = name.parent / "index.html" if name.name == "README.md" else name.with_suffix(".html")
        assert page.as_posix() in pages


def test_every_task_is_in_the_navigation(pages):
    for card in TOP.glob("tasks/*/README.md"):
        assert f'href="tasks/{card.parent.name}/index.html"' in pages["index.html"]


def test_every_public_name_has_its_docstring(pages):
    import innerear

    for name in set(innerear.__all__) - {"__version__"}:
        assert f'id="innerear.{name}"' in pages["docs/reference.html"]


def test_nothing_is_loaded_from_other_hosts(pages):
    loads = re.compile(
        r"""<(?:script|img|iframe)[^>]+src=["']?(?:https?:)?//|<link[^>]+href=["']?(?:https?:)?//"""
    )
    assert [name for name, page in pages.items() if loads.search(page)] == []
