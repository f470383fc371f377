"""How far numbers move from machine to machine: the schema of results/machines.json, and what it says of p.

`docs/reproducibility.py` makes the file of published results and their repetitions on another machine;
`innerear compare` reads how far p moved.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from innerear.results.paired import pairwise_comparisons
from innerear.results.reports import own_or_published, read_report
from innerear.results.schema import Record, Result
from innerear.results.store import Store
from innerear.stats.intervals import holm
from innerear.tasks.declarations import declaration
from innerear.util.errors import InnerearError

FILE = "machines.json"
"""Name of the file in a folder of results."""


class _Measured(Record):
    """What was measured twice, and where.

    Attributes
    ----------
    task_sha256
        First digits of the task's hash, which tell tables of one task and corpus apart.
    learnt_on
        Corpus that probes learnt from, where it is another.
    first, second
        Processor or GPU of the published results, and of the repetition.
    """

    task: str
    version: int
    task_sha256: str
    corpus: str
    learnt_on: str
    first: str
    second: str

    @property
    def table(self) -> tuple[str, ...]:
        """Table and machines."""
        return self.task, self.corpus, self.learnt_on, self.task_sha256, self.first, self.second

    @property
    def published(self) -> dict[str, str]:
        """Content of what was published, by model."""
        raise NotImplementedError


class Repeated(_Measured):
    """A published result and its repetition.

    Attributes
    ----------
    content
        First digits of the content hash of what was published.
    threads
        Number of threads on both machines.
    value, again
        The headline on both machines.
    point, where
        Largest difference of a curve's points, and which one it is of; empty where no point differs.
    scores, differ
        Number of scores, and of those that differ at all.
    choices, turned
        Number of values of C that were chosen on dev, and of those that are others on the second machine.
    """

    model: str
    kind: str
    content: str
    threads: tuple[int, int]
    headline: str
    value: float
    again: float
    point: float
    where: str
    scores: int
    differ: int
    choices: int
    turned: int

    @property
    def published(self) -> dict[str, str]:
        """Its own model and content."""
        return {self.model: self.content}

    @property
    def moved(self) -> float:
        """How far the headline moved."""
        return abs(self.again - self.value)


class RepeatedPair(_Measured):
    """p of two models, not corrected, on both machines; contents as of `Repeated`."""

    a: str
    b: str
    a_content: str
    b_content: str
    p: float
    again: float

    @property
    def published(self) -> dict[str, str]:
        """Both models and contents."""
        return {self.a: self.a_content, self.b: self.b_content}

    @property
    def moved(self) -> float:
        """How far p moved, as a difference of the standard normal values that have this two-sided p."""
        return float(abs(_normal(self.p) - _normal(self.again)))


Entry = TypeVar("Entry", bound=_Measured)


class Machines(Record):
    """What was measured again on other machines, as in results/machines.json."""

    schema_version: Literal[1] = 1
    results: list[Repeated]
    pairs: list[RepeatedPair]

    def updated(self, new: Self, published: Store) -> Self:
        """All that is here and in `new`, whose entries take the place of earlier ones, in order.

        Entries of results that are not published, or published with another content, are left out.
        """
        known = {_digits(result.content_sha256) for result in published.load_all()}
        return type(self)(
            results=_merged([*self.results, *new.results], known),
            pairs=_merged([*self.pairs, *new.pairs], known),
        )

    def spread(self, task: str, version: int) -> float:
        """Largest `RepeatedPair.moved` of a task or, if it has no pairs, of all tasks."""
        own = [each.moved for each in self.pairs if (each.task, each.version) == (task, version)]
        return max(own or [each.moved for each in self.pairs], default=0.0)


def _merged(entries: Iterable[Entry], known: set[str]) -> list[Entry]:
    """Entries in order, the last of each name, without those of contents that are not known."""
    by_name: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        if known.issuperset(entry.published.values()):
            by_name[*entry.table, *entry.published] = entry
    return [by_name[name] for name in sorted(by_name)]


def machines(folder: Path) -> Machines:
    """What was measured again of a folder of results or, if it does not say, of the published ones.

    Raises
    ------
    InnerearError
        If the file holds something else.
    """
    path = own_or_published(folder, FILE)
    return read_report(path, Machines, "measurements on other machines", "python docs/reproducibility.py")


def near(p: ArrayLike, spread: ArrayLike, alpha: ArrayLike) -> np.ndarray:
    """Whether Holm's correction puts p on the other side of alpha if all p move by their spread, [test].

    Parameters
    ----------
    p
        Not corrected, [test].
    spread
        How far each p may move, as `RepeatedPair.moved`, [test].
    """
    z, by = _normal(p), np.asarray(spread)
    least, most = (holm(2 * norm.sf(np.maximum(each, 0))) < alpha for each in (z + by, z - by))
    return np.asarray(least != most)


def _normal(p: ArrayLike) -> np.ndarray:
    return np.asarray(norm.isf(np.asarray(p) / 2))


def measured_again(published: Store, repeated: Store) -> Machines:
    """Compare published results with their repetitions, which were made on other machines.

    Results that only one of the stores has are passed over, and so are timings, which are of one machine, and
    what is n/a. Pairs are those of results that were published from one machine, and repeated on one.

    Raises
    ------
    InnerearError
        If a repetition is the published result itself, or n/a where that is not, or the reverse.
    """
    tables: dict[tuple[str, ...], list[tuple[Result, Result]]] = defaultdict(list)
    results: list[Repeated] = []
    for now in repeated.load_all():
        then = published.find(now.task.id, now.corpus.name, now.model.name, now.key)
        if then is None or declaration(then.task.protocol).timed:
            continue
        if then.record_sha256 == now.record_sha256 or then.status != now.status:
            fault = f"{now.status}, published as {then.status}" if then.status != now.status else "a copy"
            raise InnerearError(f"{repeated.path_of(now)}: {fault}; measure it again on another machine")
        if then.score and now.score:
            results.append(made := _repeated(then, now))
            tables[made.table].append((then, now))
    pairs = [pair for both in tables.values() for pair in _pairs(published, repeated, both)]
    return Machines(results=results, pairs=pairs)


def machine_of(result: Result) -> str:
    """The GPU that a result was measured on, else the processor."""
    where = result.environment
    return where.machine if result.run.device != "cpu" else where.cpu


def _where(then: Result, now: Result) -> dict[str, object]:
    learnt_on = then.train_corpus.name if then.train_corpus else ""
    task: dict[str, object] = {
        "task": then.task.id,
        "version": then.task.version,
        "task_sha256": _digits(then.task.sha256),
    }
    between = {"first": machine_of(then), "second": machine_of(now)}
    return task | {"corpus": then.corpus.name, "learnt_on": learnt_on} | between


def _repeated(then: Result, now: Result) -> Repeated:
    assert then.score
    assert now.score
    gaps = dict(_gaps(then, now))
    where = max(gaps, key=gaps.__getitem__, default="")
    point = gaps.get(where, 0.0)
    names = {*then.scores, *now.scores}
    chosen, chosen_again = (np.ravel(np.array(each.tuned.get("c", []), float)) for each in (then, now))
    return Repeated.model_validate(
        {
            **_where(then, now),
            "model": then.model.name,
            "kind": then.model.kind,
            "content": _digits(then.content_sha256),
            "threads": (then.run.threads, now.run.threads),
            "headline": then.headline,
            "value": then.score.value,
            "again": now.score.value,
            "point": point,
            "where": where if point else "",
            "scores": len(names),
            "differ": sum(then.scores.get(name) != now.scores.get(name) for name in names),
            "choices": len(chosen),
            "turned": int(np.sum(chosen != chosen_again)),
        }
    )


def _gaps(then: Result, now: Result) -> Iterator[tuple[str, float]]:
    """Differences of curve points that both have, by curve and site."""
    for curve in then.curves:
        other = now.curve(curve.name)
        values = {point.site: point.value for point in other.points} if other else {}
        for point in curve.points:
            if point.site in values:
                yield f"{curve.name} at {point.site}", abs(values[point.site] - point.value)


def _pairs(
    published: Store, repeated: Store, both: Sequence[tuple[Result, Result]]
) -> Iterator[RepeatedPair]:
    """The pairs of a table that can be compared on both machines."""
    then, now = zip(*both, strict=True)
    first, second = pairwise_comparisons(published, then), pairwise_comparisons(repeated, now)
    for pair in sorted({*first.tested} & {*second.tested}):
        a, b = (then[at] for at in pair)
        yield RepeatedPair.model_validate(
            {
                **_where(a, now[pair[0]]),
                "a": a.model.name,
                "b": b.model.name,
                "a_content": _digits(a.content_sha256),
                "b_content": _digits(b.content_sha256),
                "p": first.tested[pair].p,
                "again": second.tested[pair].p,
            }
        )


def _digits(sha256: str) -> str:
    return sha256[:12]
