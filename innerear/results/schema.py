"""The schema of a result: what was measured, on what, with which intervals, and how to measure it again.

A protocol's findings become one `Result`; `innerear.results.store` keeps it as JSON. Two hashes protect it:
`content_sha256` covers what a re-run must reproduce and nothing else (not `UNHASHED`: prose, names, sources,
timings), `record_sha256` the whole record. Numbers are finite; what is not known is None.

Names that tables and plots look for: the scores `selectivity`, `emergence_depth`, `rank_agreement` and
`majority` beside the headline; the curves `PROBE`, `DEV`, `CENTROIDS`, `CONTROL` and `SELECTIVITY`;
`tuned["c"]`, the chosen C by fold and layer; the tables `confusions` (rows with `truth`, `heard`,
`count`) and `SAMPLED`.
"""

from collections.abc import Mapping
from html import escape
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from innerear.util.io import sha256_json
from innerear.util.words import counted

SCHEMA_VERSION = 4

UNHASHED: Mapping[str, Any] = {
    "task": {"title", "question", "citation", "tolerance"},
    "model": {"name", "revision", "source", "licence", "training_data", "twin_of", "contaminated"},
    "corpus": {"licence", "source"},
    "train_corpus": {"licence", "source"},
    "items": {"path"},
    "controls": True,
    "run": True,
    "environment": True,
    "content_sha256": True,
    "record_sha256": True,
    "former_sha256": True,
}
"""What may differ between two results of one content, as pydantic's `exclude`."""

OVER_SNR = "_over_snr"
"""End of the name of an error rate that is the mean over clean speech and all levels of noise."""
SAMPLED = "sampled"
"""Table of how many phones of each corpus a task drew, and by which rule."""
PROBE = "probe"
"""Curve of the task's metric on test, by layer."""
DEV = "dev"
"""The same on dev."""
CENTROIDS = "difference-of-means"
"""The second kind of probe, on test."""
CONTROL = "control-labels"
"""Hewitt & Liang's control task, on test."""
SELECTIVITY = "selectivity"
"""Probe minus control."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """Base of all parts: frozen, no unknown fields, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Score(Record):
    """One number with its interval (None where there is none) over `n` units.

    `column` is its heading in the leaderboard; scores without one appear in `innerear show` only.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int
    unit: str
    direction: Literal["higher", "lower", "none"]
    column: str = ""

    @property
    def without_width(self) -> bool:
        """Whether the bounds of its interval are equal."""
        return self.low is not None and self.low == self.high


class CurvePoint(Record):
    """A curve at one layer; `depth` is layer / L, from 0 to 1."""

    site: str
    layer: int
    depth: float
    value: float
    low: float | None = None
    high: float | None = None


class Curve(Record):
    """A metric by layer. `chosen` is the site chosen on dev (with folds: by mean dev score), if any."""

    name: str
    metric: str
    unit: str = "fraction"
    kind: Literal["model", "control", "floor"]
    n: int
    points: list[CurvePoint]
    chosen: str | None = None

    @property
    def best(self) -> CurvePoint | None:
        """The point at the chosen site, if there is one."""
        return next((point for point in self.points if point.site == self.chosen), None)


class TaskInfo(Record):
    """The resolved task; `sha256` is the hash of `spec`, which is what decides numbers."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int
    sha256: Sha256
    protocol: str
    spec: dict[str, JsonValue]
    title: str
    question: str
    citation: str
    tolerance: float

    @model_validator(mode="after")
    def _sure(self) -> Self:
        confidence = self.spec.get("confidence")
        if not isinstance(confidence, float) or not 0 < confidence < 1:
            raise ValueError("the task's specification states no confidence of its intervals")
        return self


ORGANISM_SPEECH = "innerear-organism-speech"
"""Stands in the training data of the models that innerear's own recipe makes (docs/model-organisms.md)."""


SOUNDS = frozenset({"innerear-loops", "innerear-nonspeech", "innerear-near-speech", "innerear-hard-clips"})
"""Corpora that come with innerear and have clips without speech, whose clusters are sources of sound."""


class ModelInfo(Record):
    """What was measured: a model, its random twin, a floor, or a method.

    A twin has the architecture of the model `twin_of` with random weights drawn from `seed`; an architecture
    has random weights, too, and is timed alone; a floor is a baseline without a network; a method localises
    causes inside models.

    Attributes
    ----------
    parts
        What the identity is made of, each a hash or, where it is short, the thing itself; see
        `innerear.models.identity`. Two models differ where one of them does.
    sha256
        Hash of `parts`.
    contaminated
        Whether the training data contain the corpus; None: unknown.
    """

    name: str
    family: str
    kind: Literal["model", "twin", "architecture", "floor", "method"]
    revision: str
    source: str
    sha256: Sha256
    parts: dict[str, str]
    parameters: int
    licence: str
    training_data: list[str]
    seed: int | None = None
    twin_of: str | None = None
    contaminated: bool | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.sha256 != sha256_json(self.parts):
            raise ValueError("the model's hash is not that of its parts")
        return self

    @property
    def organism(self) -> bool:
        """Whether it is a model organism, trained on speech that was rendered for it, to be opened."""
        return self.kind == "model" and ORGANISM_SPEECH in self.training_data


class CorpusInfo(Record):
    """The corpus: counts are of the items that the task selected; `refused` lists (item, reason)."""

    name: str
    version: str
    fingerprint: str
    items: int
    speakers: int
    seconds: float
    human: bool
    licence: str
    source: str
    refused: list[tuple[str, str]]

    @property
    def voices(self) -> str:
        """How many speakers there are, in words; where nobody speaks, sources of sound are among them."""
        if not self.speakers:
            return "no speakers stated: each clip is a cluster"
        if SOUNDS.isdisjoint(self.name.split("+")):
            return counted(self.speakers, "speaker")
        return f"{self.speakers:,} speakers and sources of sound"


class Side(Record):
    """Sizes of one side of a fold."""

    items: int
    speakers: int
    frames: int


class FoldInfo(Record):
    """Sizes of a fold, and how many items were left out because other speakers read the same sentence."""

    train: Side
    dev: Side
    test: Side
    dropped_shared_sentences: int


class SplitInfo(Record):
    """The split rule and the folds that it gave."""

    rule: str
    seed: int
    folds: list[FoldInfo]


class Run(Record):
    """When the run was and how fast. Not part of the content hash.

    `load_s`, `encoder_s` and `decoder_s` are seconds of loading and of the forward pass, which tasks of one
    run may share; `measure_s` is the time of the protocol's own computations. `total_s` counts what is shared
    once, with the first of these tasks: it is the time since the result before, or since loading began.
    `encoder_rtfx` is seconds of audio per second of front end and encoder, None where everything came from
    the cache; of a model that pads clips to its window (Whisper: 30 s) it grows with the length of the clips.
    `rtfx` is that of plain transcription, where the task times it.
    """

    created: str
    load_s: float
    encoder_s: float
    decoder_s: float
    measure_s: float
    total_s: float
    audio_s: float
    encoder_rtfx: float | None
    rtfx: float | None
    peak_memory_mib: float
    gpu_forward_ms: float | None
    cached_items: int
    device: str
    threads: int
    batch_size: int


class Environment(Record):
    """Where it ran. Not part of the content hash."""

    innerear: str
    python: str
    packages: dict[str, str]
    git_commit: str | None
    platform: str
    cpu: str
    cores: int
    gpu: str | None
    deterministic: bool
    precision: str

    @property
    def machine(self) -> str:
        """The GPU, else the processor."""
        return self.gpu or self.cpu

    def other_packages(self, here: Self) -> str:
        """The first package that both know in different versions, with both; empty if there is none."""
        shared = self.packages.keys() & here.packages.keys()
        changed = sorted(name for name in shared if self.packages[name] != here.packages[name])
        return (
            f"{changed[0]} {self.packages[changed[0]]}, and this is {here.packages[changed[0]]}"
            if changed
            else ""
        )


class ItemsFile(Record):
    """The Parquet file of per-item outcomes beside the JSON."""

    path: str = Field(pattern=r"^[^/\\]+$")
    sha256: Sha256
    rows: int
    columns: list[str]


def result_key(task: str, model: str, corpus: str, train_corpus: str | None) -> str:
    """Hash of all that a result depends on; it is known before anything is measured.

    Parameters
    ----------
    task, model, corpus, train_corpus
        Hash of the task and of the model, fingerprints of the corpora.
    """
    return sha256_json([SCHEMA_VERSION, task, model, corpus, train_corpus])


class Result(Record):
    """One task on one model.

    The hashes are filled in on construction where they are empty, and checked where they are given.

    Attributes
    ----------
    status, reason
        `n/a` with its reason where the model does not fit the task.
    headline
        Key of `scores` that ranks models.
    tuned
        What was chosen on dev, and the dev scores behind the choice.
    controls
        Content hashes of the results that served as controls, by name.
    former_sha256
        Content hash that this result had under schema 3, from which `innerear migrate` made it.
    """

    schema_version: Literal[4] = 4
    task: TaskInfo
    model: ModelInfo
    corpus: CorpusInfo
    train_corpus: CorpusInfo | None = None
    split: SplitInfo
    status: Literal["ok", "n/a"] = "ok"
    reason: str | None = None
    headline: str
    scores: dict[str, Score]
    curves: list[Curve]
    tables: dict[str, list[dict[str, JsonValue]]] = {}
    tuned: dict[str, JsonValue] = {}
    seeds: dict[str, int] = {}
    items: ItemsFile | None = None
    controls: dict[str, str] = {}
    run: Run
    environment: Environment
    content_sha256: str = ""
    record_sha256: str = ""
    former_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.status == "ok" and self.headline not in self.scores:
            raise ValueError(f"the headline {self.headline!r} is not among the scores")
        if self.status == "n/a" and self.headline in self.scores:
            raise ValueError("a result that is n/a has no headline among its scores")
        if (self.status == "n/a") != bool(self.reason):
            raise ValueError("a result is n/a if and only if it has a reason")
        self._seal("content_sha256", sha256_json(self.model_dump(mode="json", exclude=dict(UNHASHED))))
        self._seal("record_sha256", sha256_json(self.model_dump(mode="json", exclude={"record_sha256"})))
        return self

    def _seal(self, name: str, expected: str) -> None:
        if not (given := getattr(self, name)):
            object.__setattr__(self, name, expected)
        elif given != expected:
            raise ValueError(f"{name} does not match: the file was edited or damaged")

    def __repr__(self) -> str:
        found = f"n/a, {self.reason}"
        if score := self.score:
            bounds = "" if score.low is None else f" [{score.low:.4g}, {score.high:.4g}]"
            found = f"{self.headline} {score.value:.4g}{bounds}"
        return (
            f"<Result {self.task.id} v{self.task.version} on {self.corpus.name}, {self.model.name}: {found}>"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """All scores as a table, for notebooks."""
        import pandas as pd

        rows = {
            name: score.model_dump(exclude={"column", "direction"}) for name, score in self.scores.items()
        }
        return f"{escape(repr(self))}{pd.DataFrame.from_dict(rows, orient='index').to_html(na_rep='')}"

    @property
    def key(self) -> str:
        """See `result_key`."""
        train = self.train_corpus.fingerprint if self.train_corpus else None
        return result_key(self.task.sha256, self.model.sha256, self.corpus.fingerprint, train)

    @property
    def group(self) -> tuple[str, ...]:
        """Task and corpora by name and hash; only results of one group may be compared."""
        train = (self.train_corpus.name, self.train_corpus.fingerprint) if self.train_corpus else ("", "")
        return (self.task.id, self.task.sha256, self.corpus.name, self.corpus.fingerprint, *train)

    @property
    def level(self) -> float:
        """Level of the intervals, as the task states it."""
        confidence = self.task.spec["confidence"]
        assert isinstance(confidence, float)  # TaskInfo refuses others
        return confidence

    @property
    def alpha(self) -> float:
        """The p below which a difference is significant; rounded, as 1 - 0.95 is above 0.05 in floats."""
        return round(1 - self.level, 12)

    @property
    def score(self) -> Score | None:
        """The headline score, None where the result is n/a."""
        return self.scores.get(self.headline)

    @property
    def main(self) -> Curve | None:
        """The task's layer curve: the first one."""
        return self.curves[0] if self.curves else None

    def curve(self, name: str) -> Curve | None:
        """A curve by name."""
        return next((curve for curve in self.curves if curve.name == name), None)

    def with_items(self, items: ItemsFile | None) -> Self:
        """The same result with its per-item file, and with new hashes."""
        return type(self)(**{**dict(self), "items": items, "content_sha256": "", "record_sha256": ""})
