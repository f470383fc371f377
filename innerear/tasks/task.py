"""Tasks: standardised questions as YAML, validated on load; what decides their numbers is hashed.

A task is a folder in tasks/ with `task.yaml` and a card (`README.md`), or a user's own YAML file by path.
What a run changes (corpus, clips per speaker, limit, seed) is written into the task before it is hashed, so
two results with one hash measured the same thing.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from innerear.data.noise import NoiseRule, add_noise
from innerear.data.schema import Corpus, Item
from innerear.data.splits import SplitRule
from innerear.tasks.declarations import declaration
from innerear.tasks.settings import Measure
from innerear.tasks.spec import Spec
from innerear.util.errors import InputError, unknown_name
from innerear.util.io import sha256_json
from innerear.util.paths import data_folder
from innerear.util.plugins import Extended
from innerear.util.yaml import load_yaml

_ADDED: Mapping[str, Path] = Extended("innerear.tasks", "task", {}, lambda loaded: isinstance(loaded, Path))
"""Folders (`task.yaml` and its card) of tasks of other packages, by their names."""
SETTLED = ("long_form", "machine")
"""What a run settles by itself: how long clips are heard, and whose timings they are."""


class Metric(Spec):
    """The headline metric and which way is better."""

    name: str
    direction: Literal["higher", "lower", "none"]


PROSE = frozenset({"title", "question", "citation", "tolerance"})
"""Fields that decide no number: they are in no hash, and travel with a result beside it."""
UNHASHED = PROSE | {"profile"}
"""All fields that are in no hash."""


class Task(Spec):
    """A standardised task; its hash is in every result.

    Attributes
    ----------
    question
        What the task asks, in a sentence.
    profile
        Why the headline describes models and does not rank them; empty for a merit, by which a model may be
        chosen.
    corpus, train_corpus
        The corpus that is scored, and the one that probes learn from where it is another.
    clips_per_speaker, limit
        Maximum number of clips of each speaker, and of all; None: no maximum.
    only
        Fields of items (or of their `extra`) and the values that they must have.
    noise
        If given, clips are processed clean and with noise at each of these signal-to-noise ratios.
    split
        How clips are divided into train, dev and test.
    long_form
        How clips longer than a model's window are heard. 1: states of consecutive windows, and text by the
        model's own long form; a run sets it where a corpus has such clips and the protocol can hear them.
        None: they are refused.
    machine
        The machine that timings are of, as `innerear.results.environment.machine` names it; a run sets it, so
        that timings of two machines are never in one table. None in all other tasks.
    measure
        The protocol and its parameters; see `innerear.tasks.settings`.
    confidence
        Level of the intervals.
    metric
        The headline metric.
    tolerance
        How far the headline may differ when a result is reproduced on another machine; of timings, on the
        same one, as a share of the headline.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(ge=1)
    title: str
    question: str
    profile: str = ""
    corpus: str
    train_corpus: str | None = None
    clips_per_speaker: int | None = Field(default=None, ge=1)
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    only: dict[str, str] = Field(default_factory=dict)
    noise: NoiseRule | None = None
    split: SplitRule | None = None
    long_form: Literal[1] | None = None
    machine: str | None = None
    measure: Measure
    confidence: float = Field(gt=0.5, lt=1)
    metric: Metric
    tolerance: float = Field(gt=0)
    citation: str

    def __repr__(self) -> str:
        return f"<Task {self.id} v{self.version}: {self.metric.name} on {self.corpus}. {self.question}>"

    __str__ = __repr__

    def resolve(self, **changes: Any) -> "Task":
        """The task with the choices of a run written into it; None keeps the task's own value."""
        chosen = {name: value for name, value in changes.items() if value is not None}
        return type(self).model_validate(self.model_dump() | chosen)

    def canonical(self) -> dict[str, Any]:
        """What decides the numbers of the resolved task, as plain JSON: what the hash is taken over."""
        unset = {name for name in SETTLED if getattr(self, name) is None}
        left_out = UNHASHED | unset
        return self.model_dump(mode="json", exclude=set(left_out))

    def prose(self) -> dict[str, Any]:
        """What else a result says of its task: title, question, citation and tolerance."""
        return self.model_dump(mode="json", include=set(PROSE))

    def sha256(self) -> str:
        """SHA-256 of the canonical form."""
        return sha256_json(self.canonical())

    def usable(self, corpus: Corpus) -> tuple[Item, ...]:
        """Items that `only` and the split rule admit, in order.

        Raises
        ------
        InputError
            If there are none.
        """
        kept = self._matching(corpus)
        return kept if self.split is None else self.split.usable(corpus.with_items(kept))

    def left_out(self, corpus: Corpus) -> int:
        """Number of items that `only` admits but the split rule does not."""
        return len(self._matching(corpus)) - len(self.usable(corpus))

    def _matching(self, corpus: Corpus) -> tuple[Item, ...]:
        kept = tuple(item for item in corpus if all(item.label(key) == self.only[key] for key in self.only))
        if not kept:
            wanted = ", ".join(f"{key} = {value}" for key, value in self.only.items())
            raise InputError(f"{corpus.name}: no clip has {wanted}, but the task takes only such clips")
        return kept

    def select(self, corpus: Corpus) -> Corpus:
        """Keep the first `clips_per_speaker` clips of each speaker, and `limit` clips evenly over speakers.

        Clips that `usable` leaves out do not count towards either. Noise is added last.
        """
        taken: dict[str, int] = {}
        ranked: list[tuple[int, int, Item]] = []
        for order, item in enumerate(self.usable(corpus)):
            rank = taken[item.cluster] = taken.get(item.cluster, -1) + 1
            if self.clips_per_speaker is None or rank < self.clips_per_speaker:
                ranked.append((rank, order, item))
        chosen = sorted(ranked, key=lambda entry: entry[:2])[: self.limit]
        items = tuple(item for _, _, item in sorted(chosen, key=lambda entry: entry[1]))
        selected = corpus.with_items(items)
        return add_noise(selected, self.noise) if self.noise else selected


class SuiteTask(Spec):
    """One task of a suite and what the suite changes in it; in `measure`, only the keys that it names."""

    id: str
    only: dict[str, str] | None = None
    corpus: str | None = None
    train_corpus: str | None = None
    clips_per_speaker: int | None = None
    limit: int | None = None
    split: SplitRule | None = None
    measure: dict[str, Any] = Field(default_factory=dict)

    def task(self, full: bool = False) -> Task:
        """The task as the suite runs it; with `full`, on all its clips and with its own `measure`."""
        task = load_task(self.id)
        less: dict[str, Any] = {} if full else {"clips_per_speaker": self.clips_per_speaker}
        if self.measure and not full:
            less["measure"] = _merged(task.measure.model_dump(), self.measure)
        return task.resolve(**self.model_dump(exclude={"id", "clips_per_speaker", "measure"}), **less)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Settings updated with new values, recursively."""
    return old | {
        name: _merged(old[name], value) if isinstance(value, dict) and old.get(name) else value
        for name, value in new.items()
    }


class Suite(Spec):
    """A named set of models and tasks; without models, the tasks' own methods are scored."""

    description: str
    models: tuple[str, ...]
    tasks: tuple[SuiteTask, ...] = Field(min_length=1)


class _Suites(Spec):
    suites: dict[str, Suite]


def task_names() -> list[str]:
    """Names of the tasks that come with innerear, then those of other packages."""
    return [*sorted(path.parent.name for path in data_folder("tasks").glob("*/task.yaml")), *_ADDED]


def is_current(name: str, version: int) -> bool:
    """Whether a version of a task is the registered one; a task that is not registered has no other."""
    return name not in task_names() or load_task(name).version == version


def is_timed(task: Task) -> bool:
    """Whether a task is of timings: they are of a machine, and damage of a model says nothing of them."""
    return declaration(task.measure.protocol).timed


def load_task(name: str) -> Task:
    """Load a task by its name, or a user's own by the path of its YAML file.

    Raises
    ------
    InputError
        If there is no such task (the nearest name is suggested), or its YAML has an unknown key or a wrong
        type.
    """
    if name.endswith((".yaml", ".yml")):
        return load_yaml(Path(name), Task)
    if name not in task_names():
        raise InputError(unknown_name("task", name, task_names()))
    return _registered(_folder(name) / "task.yaml")


@cache
def _registered(path: Path) -> Task:
    """A task that comes with a package is read once: suites name the same ones many times."""
    return load_yaml(path, Task)


def card(name: str) -> str:
    """The card of a task, Markdown."""
    load_task(name)
    return (_folder(name) / "README.md").read_text()


def _folder(name: str) -> Path:
    return _ADDED[name] if name in _ADDED else data_folder("tasks") / name


def suites(file: str = "suites.yaml") -> dict[str, Suite]:
    """The suites of a file in tasks/, by name."""
    return load_yaml(data_folder("tasks") / file, _Suites).suites


def load_suite(name: str) -> Suite:
    """Load a suite by name; errors as `load_task`."""
    known = suites()
    if name not in known:
        raise InputError(unknown_name("suite", name, list(known)))
    return known[name]
