"""Corpora by name or path: embedded, human, from the hub, or a user's own manifest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from innerear.data import embedded, hard_clips, near_speech
from innerear.data.hub import SPECS, load_hub, load_parquet
from innerear.data.human import RECIPES, load_human
from innerear.data.layouts import TABLES
from innerear.data.manifest import load_manifest
from innerear.data.recordings import is_there, local_path
from innerear.data.schema import Corpus
from innerear.util.errors import InputError, unknown_name
from innerear.util.plugins import Extended

MADE: Mapping[str, Callable[[], Corpus]] = {
    near_speech.NAME: near_speech.load,
    hard_clips.NAME: hard_clips.load,
}
"""Corpora that are made of embedded ones on loading: functions as those of `ADDED`."""
ADDED: Mapping[str, Callable[[], Corpus]] = Extended("innerear.corpora", "corpus", {}, callable)
"""Corpora of other packages: functions that load them, whose docstrings say in a line what they are."""


class Entry(NamedTuple):
    """A corpus that `load_corpus` knows by name."""

    name: str
    kind: Literal["embedded", "human", "hub", "package"]
    summary: str


def corpus_names() -> list[Entry]:
    """List the corpora known by name, each with one line on what it is."""
    return [
        *(Entry(name, "embedded", summary) for name, summary in embedded.names().items()),
        *(Entry(name, "embedded", _summary(load)) for name, load in MADE.items()),
        *(Entry(recipe.name, "human", recipe.summary) for recipe in RECIPES.values()),
        *(Entry(spec.name, "hub", spec.summary) for spec in SPECS.values()),
        *(Entry(name, "package", _summary(load)) for name, load in ADDED.items()),
    ]


def _summary(load: Callable[[], Corpus]) -> str:
    return (load.__doc__ or "").partition("\n")[0]


def load_corpus(
    name_or_path: str, *, data_dir: Path | None = None, strict: bool = False, fetch: bool = True
) -> Corpus:
    """Load a corpus.

    Parameters
    ----------
    name_or_path
        A name of `corpus_names`; `hub:OWNER/NAME@REVISION/SPLIT` for any hub dataset in a known layout; or
        a path: a manifest or table, a folder in a known layout (`innerear.data.layouts`), or a `.parquet`
        file. `A+B` joins two.
    data_dir
        A folder that holds human corpora (`timit-sample/`, `ravdess/`); `INNEREAR_DATA` is searched next.
    strict
        Whether a single clip that cannot be used is an error. Otherwise it is left out and listed in
        `Corpus.refused`. Faults that only decoding finds (a damaged frame, NaN) show later, in `Item.audio`.
    fetch
        Whether it may be downloaded.

    Raises
    ------
    InputError
        If the name is unknown, a manifest is malformed, or no clip can be used.
    InnerearError
        If a corpus has to be fetched and cannot be (`NotHere`: must not be), or changed since it was first
        fetched.
    """
    if name_or_path in RECIPES:
        return load_human(name_or_path, data_dir, strict, fetch)
    if name_or_path in SPECS or name_or_path.startswith("hub:"):
        return load_hub(name_or_path, strict, fetch)
    if (parts := parts_of(name_or_path)) != [name_or_path]:
        return join([load_corpus(part, data_dir=data_dir, strict=strict, fetch=fetch) for part in parts])
    if load := MADE.get(name_or_path) or ADDED.get(name_or_path):
        return load()
    names = [entry.name for entry in corpus_names()]
    if name_or_path in names:
        return embedded.load(name_or_path)
    path = local_path(name_or_path)
    if path.suffix.lower() == ".parquet":
        return load_parquet(path, strict)
    if name_or_path and (is_there(path) or path.name.lower().endswith(TABLES)):
        return load_manifest(path, strict)
    hint = "`innerear corpora list` names them"
    raise InputError(
        f"{unknown_name('corpus', name_or_path, names, hint)} "
        "(or give the path of a .jsonl, .csv or .parquet file, or of a folder in a known layout)"
    )


def parts_of(name: str) -> list[str]:
    """The corpora that `A+B` joins; a path may hold a plus, too."""
    if "+" not in name or _is_one(name):
        return [name]
    for at in (at for at, letter in enumerate(name) if letter == "+"):
        rest = parts_of(name[at + 1 :])
        if _is_one(name[:at]) and all(map(_is_one, rest)):
            return [name[:at], *rest]
    parts = name.split("+")
    return parts if any(map(_is_one, parts)) else [name]


def _is_one(name: str) -> bool:
    known = name.startswith("hub:") or any(entry.name == name for entry in corpus_names())
    return known or (bool(name) and is_there(local_path(name)))


def join(corpora: Sequence[Corpus]) -> Corpus:
    """Several corpora as one, in order.

    Raises
    ------
    InputError
        If two items have the same id.
    """
    items = tuple(item for corpus in corpora for item in corpus)
    if len({item.id for item in items}) < len(items):
        raise InputError(f"{' and '.join(corpus.name for corpus in corpora)} have items of the same id")

    def distinct(values: Iterable[str]) -> str:
        return "; ".join(dict.fromkeys(values))

    return Corpus(
        name="+".join(corpus.name for corpus in corpora),
        version="+".join(corpus.version for corpus in corpora),
        items=items,
        source=distinct(corpus.source for corpus in corpora),
        licence=distinct(corpus.licence for corpus in corpora),
        citation=distinct(corpus.citation for corpus in corpora),
        human=all(corpus.human for corpus in corpora),
        refused=tuple(entry for corpus in corpora for entry in corpus.refused),
        notes=tuple(note for corpus in corpora for note in corpus.notes),
    )
