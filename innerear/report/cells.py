"""What a run ends with: models by tasks, each cell a score, or n/a or failed with its reason."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from innerear.report.leaderboard import arrow
from innerear.report.numbers import number
from innerear.results.schema import Result
from innerear.tasks.task import SETTLED, Task
from innerear.util.sanitise import clean
from innerear.util.words import counted

UNKNOWN = "neither measured nor refused; that is a mistake in innerear, please report it"
"""Why a cell would be empty."""


@dataclass(frozen=True)
class Cells:
    """A table of models by tasks.

    Attributes
    ----------
    columns
        Lines of the heading of each task: its name, part by part, and its headline.
    rows
        Name of a model, and what it has of each task: a score, or n/a or failed with the number of a note.
    notes
        The reasons, in the order of their numbers.
    unknown
        Number of cells of which nothing is known.
    """

    columns: tuple[tuple[str, ...], ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]
    unknown: int

    @property
    def summary(self) -> str:
        """How many cells of each kind there are."""
        texts = [text for _, own in self.rows for text in own]
        without = {kind: sum(text.startswith(kind) for text in texts) for kind in ("n/a", "failed")}
        told = ", ".join(f"{count} {kind}" for kind, count in without.items())
        return (
            f"{counted(len(self.rows), 'model')} × {counted(len(self.columns), 'task')}: "
            f"{counted(len(texts) - sum(without.values()), 'score')}, {told}. Fractions are in per cent; "
            "numbers in brackets: reasons below."
        )


def cells_of(
    results: Sequence[Result], failed: Mapping[tuple[str, str], str], tasks: Sequence[Task]
) -> Cells:
    """The cells of a run.

    Parameters
    ----------
    failed
        Why a task could not be measured on a model, by the model's name and the task's hash; one of them is
        empty where that holds for all models, or all tasks.
    tasks
        The tasks that were asked for.
    """
    own = [result for result in results if result.model.kind in ("model", "architecture")]
    models = [(result.model.name, result.model.sha256) for result in own]
    measured = {name for name, _ in models}
    models += [(name, "") for name, _ in failed if name not in {*measured, ""}]
    models = list(dict.fromkeys(models))
    found = {(result.model.sha256, _key(result.task.spec)): result for result in own}
    names = [name for name, _ in models]
    notes: dict[str, int] = {}
    unknown = 0
    rows = []
    for name, sha256 in models:
        texts = []
        for task in tasks:
            result = found.get((sha256, _key(task.canonical())))
            if result and result.score:
                texts.append(number(result.score.value, result.score.unit))
                continue
            kind, why = ("n/a", result.reason or "") if result else ("failed", _why(failed, name, task))
            unknown += why == UNKNOWN
            why = re.sub(rf"(^|: ){re.escape(name)}(?![\w-])", r"\1the model", why)
            texts.append(f"{kind} [{notes.setdefault(why, len(notes) + 1)}]")
        rows.append((name if names.count(name) == 1 else f"{name} ({sha256[:8]})", tuple(texts)))
    ids = [task.id for task in tasks]
    columns = tuple(_heading(task, own, ids.count(task.id) > 1) for task in tasks)
    return Cells(columns, tuple(rows), tuple(notes), unknown)


def _key(spec: Mapping[str, object]) -> str:
    """What a task and its results have in common: not what a run settles."""
    return repr(sorted((name, value) for name, value in spec.items() if name not in SETTLED))


def _why(failed: Mapping[tuple[str, str], str], model: str, task: Task) -> str:
    sha256 = task.sha256()
    known = (failed.get(key) for key in ((model, sha256), (model, ""), ("", sha256)))
    return next((why for why in known if why), UNKNOWN)


def _heading(task: Task, results: Sequence[Result], corpus: bool) -> tuple[str, ...]:
    scored = [each for each in results if each.score and _key(each.task.spec) == _key(task.canonical())]
    metric = f"{scored[0].headline}{arrow(scored[0])}" if scored else task.metric.name
    corpora = [task.corpus, *([f"from {task.train_corpus}"] if task.train_corpus else [])]
    return (*re.split(r"(?<=-)", task.id), *(corpora if corpus else []), metric)


def cells_to_rich(shown: Cells, width: int) -> Iterator[RichTable]:
    """The cells as tables for a terminal of `width` columns: as many tasks side by side as it takes."""
    names = max((len(clean(name)) for name, _ in shown.rows), default=0) + 3
    widths = [
        max(map(len, [*heading, *(own[at] for _, own in shown.rows)])) + 3
        for at, heading in enumerate(shown.columns)
    ]
    side: list[int] = []
    groups = [side]
    for at, each in enumerate(widths):
        if side and names + sum(widths[other] for other in side) + each > width:
            groups.append(side := [])
        side.append(at)
    for group in groups:
        table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1))
        table.add_column("model", vertical="bottom", no_wrap=True)
        for at in group:
            heading = Text("\n".join(map(clean, shown.columns[at])))
            table.add_column(heading, justify="right", vertical="bottom", no_wrap=True)
        for name, own in shown.rows:
            table.add_row(Text(clean(name)), *(Text(own[at]) for at in group))
        yield table
