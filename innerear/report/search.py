"""What the search finds: models, tasks, tables with their corpora, scores, results and pages."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from innerear.report.leaderboard import Table, arrow, interval
from innerear.report.pages import anchor_of, page_of
from innerear.results.schema import Result
from innerear.util.sanitise import clean, slug

KINDS = ("page", "model", "task", "corpus", "score", "result")
"""Kinds of what is found, in the order in which equally good finds are shown."""
PAGES = {
    "index.html": ("Leaderboard", "all tables, filters, how to cite"),
    "compare.html": (
        "Models side by side",
        "merits, verdicts, accuracy against speed and size, layer curves",
    ),
    "items.html": ("Items", "clips, phones and words, where models disagree, sound, transcripts"),
    "heads.html": ("Heads", "attention heads: loops, repetition, alignment, listening, mitigation"),
}
"""Pages that every site has: name, and what they are for."""


@dataclass(frozen=True)
class Entry:
    """Something that can be found.

    Attributes
    ----------
    kind
        One of `KINDS`.
    place
        Page and anchor.
    says
        What stands beside the name; it is searched, too.
    """

    kind: str
    name: str
    place: str
    says: str = ""

    def row(self) -> list[str]:
        """For the page's script, without control characters."""
        return [self.kind, clean(self.name), self.place, clean(self.says)]


def entries(
    tables: Mapping[str, Table], title_of: Callable[[str], str], reports: Mapping[str, tuple[str, str]]
) -> list[Entry]:
    """All that can be found, sorted.

    Parameters
    ----------
    tables
        Tables by the names of their anchors.
    title_of
        Title of a task.
    reports
        Title of each further page, and what it is about.
    """
    pages = {**PAGES, **reports}
    found = [Entry("page", name, place, says) for place, (name, says) in pages.items()]
    for anchor, table in tables.items():
        found += _of_table(table, f"tasks/{slug(table.results[0].task.id)}.html", anchor, title_of)
    return sorted(set(found), key=lambda each: (KINDS.index(each.kind), each.name, each.place))


def _of_table(table: Table, page: str, anchor: str, title_of: Callable[[str], str]) -> Iterator[Entry]:
    first, place = table.results[0], f"{page}#{anchor}"
    yield Entry("task", first.task.id, page, title_of(first.task.id))
    for corpus in (first.corpus, first.train_corpus):
        if corpus is not None:
            yield Entry("corpus", f"{corpus.name} {corpus.version}", place, table.heading)
    columns = {name: score.column for each in table.results for name, score in each.scores.items()}
    for name, column in columns.items():
        yield Entry("score", name, place, f"{column + ', ' if column else ''}{table.heading}")
    for result in table.results:
        model = f"models/{page_of(result.model.name)}.html"
        yield Entry("model", result.model.name, model, f"{result.model.family}, {result.model.kind}")
        yield Entry(
            "result",
            result.model.name,
            f"{model}#{anchor_of(result)}",
            f"{table.heading}: {_headline(result)}",
        )


def _headline(result: Result) -> str:
    unit = " %" if result.score and result.score.unit == "fraction" else ""
    value = interval(result.score) + unit if result.score else "n/a"
    return f"{result.headline.replace('_', ' ')}{arrow(result)} {value}"
