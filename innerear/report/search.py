"""What the search finds: models, tasks, tables with their corpora, scores, results and pages."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from innerear.report.cards import Card
from innerear.report.leaderboard import Table, arrow
from innerear.report.numbers import interval, unit_of
from innerear.report.pages import anchor_of, model_page, task_page
from innerear.results.schema import Result
from innerear.util.sanitise import clean

LONG = {
    "auroc": "area under the ROC curve",
    "cer": "character error rate",
    "rtfx": "seconds of audio for each second",
    "snr": "signal-to-noise ratio",
    "per": "phone error rate",
    "wer": "word error rate",
}
"""What abbreviations in names of scores stand for."""
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
    also
        What else is searched.
    """

    kind: str
    name: str
    place: str
    says: str = ""
    also: str = ""

    def row(self) -> list[str]:
        """For the page's script, without control characters."""
        return [self.kind, clean(self.name), self.place, clean(self.says), clean(self.also)]


def entries(
    tables: Mapping[str, Table], card_of: Callable[[str], Card], reports: Mapping[str, tuple[str, str]]
) -> list[Entry]:
    """All that can be found, sorted.

    Parameters
    ----------
    tables
        Tables by the names of their anchors.
    card_of
        Card of a task.
    reports
        Title of each further page, and what it is about.
    """
    pages = {**PAGES, **reports}
    found = [Entry("page", name, place, says) for place, (name, says) in pages.items()]
    for anchor, table in tables.items():
        task = table.results[0].task.id
        found += _of_table(table, task_page(task), anchor, card_of(task))
    return sorted(set(found), key=lambda each: (KINDS.index(each.kind), each.name, each.place))


def _of_table(table: Table, page: str, anchor: str, card: Card) -> Iterator[Entry]:
    first, place = table.results[0], f"{page}#{anchor}"
    also = f"{card.about} {long_name(first.headline)}"
    yield Entry("task", first.task.id, page, card.title, also)
    for corpus in (first.corpus, first.train_corpus):
        if corpus is not None:
            yield Entry("corpus", f"{corpus.name} {corpus.version}", place, table.heading)
    columns = {name: score.column for each in table.results for name, score in each.scores.items()}
    for name, column in columns.items():
        if column in card.columns:
            explained, meaning = card.columns[column]
        elif name == first.headline and card.headline:
            explained, meaning = card.headline, f"headline: {card.question}"
        else:
            explained, meaning = anchor, table.heading
        says = [LONG.get(name), column, f"{first.task.id}: {meaning}" if explained != anchor else meaning]
        yield Entry("score", name, f"{page}#{explained}", ", ".join(filter(None, says)), long_name(name))
    for result in table.results:
        model = model_page(result.model.name)
        yield Entry("model", result.model.name, model, f"{result.model.family}, {result.model.kind}")
        yield Entry(
            "result",
            result.model.name,
            f"{model}#{anchor_of(result)}",
            f"{table.heading}: {_headline(result)}",
        )


def long_name(score: str) -> str:
    """The abbreviations in the name of a score, spelt out; empty if it has none."""
    return ", ".join(LONG[word] for word in score.split("_") if word in LONG)


def _headline(result: Result) -> str:
    value = f"{interval(result.score)} {unit_of(result.score)}" if result.score else "n/a"
    return f"{result.headline.replace('_', ' ')}{arrow(result)} {value}"
