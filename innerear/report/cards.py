"""Cards of tasks for pages: as HTML with places to lead to, and what they say of a task and its columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from innerear.tasks.task import card, load_task
from innerear.util.errors import InputError
from innerear.util.sanitise import slug


@dataclass(frozen=True)
class Card:
    """What pages show of a task, and what the search finds it by.

    Attributes
    ----------
    about
        Question, why it matters and what is cited, as text.
    columns
        For each column that the card explains: its place in the card, and what it means.
    headline
        The place that says how the headline is read; empty if there is none.
    """

    title: str
    question: str = ""
    html: Markup = field(default_factory=Markup)
    about: str = ""
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    headline: str = ""


@cache
def card_of(name: str) -> Card:
    """The card of a task; only a title for a task that does not come with innerear."""
    try:
        task, text = load_task(name), card(name)
    except InputError:
        return Card(name)
    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = made.parse(text)
    _plain(tokens)
    columns, headline = _columns(tokens), _headline(tokens)
    html = Markup(made.renderer.render(tokens, made.options, {}))
    about = " ".join([task.question, text.partition("\n## ")[0], task.citation])
    about = "".join(letter for letter in about if letter not in "{}*")
    return Card(task.title, task.question, html, about, columns, headline)


def _plain(tokens: Sequence[Token]) -> None:
    """Take away links to files of the repository, and inline styles."""
    for token in tokens:
        if style := token.attrs.pop("style", None):  # of a table's cell
            token.attrs["class"] = str(style).removeprefix("text-align:")
        if token.children:
            token.children = [each for each in token.children if not each.type.startswith("link_")]


def _headline(tokens: Sequence[Token]) -> str:
    for heading, inside in pairwise(tokens):
        if heading.type == "heading_open" and inside.content == "How to read it":
            heading.attrs["id"] = slug(inside.content.lower())
            return str(heading.attrs["id"])
    return ""


def _columns(tokens: Sequence[Token]) -> dict[str, tuple[str, str]]:
    """Columns that tables headed `column` explain; each gets a number as the place to lead to."""
    found: dict[str, tuple[str, str]] = {}
    explains, cells = False, list[Token]()
    for before, token in pairwise(tokens):
        if token.type == "tr_open":
            cells = []
        elif before.type in ("th_open", "td_open"):
            cells.append(token)
        elif token.type == "tr_close" and before.type == "th_close":
            explains = cells[0].content == "column"
        elif token.type == "tr_close" and explains:
            meaning = "".join(each.content or " " for each in cells[1].children or ())
            for name in cells[0].children or ():
                if name.type == "code_inline" and name.content not in found:
                    name.attrs["id"] = f"column-{len(found) + 1}"
                    found[name.content] = (str(name.attrs["id"]), meaning)
    return found
