"""Corpora by name or path: embedded, human, from the hub, or a user's own manifest."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from innerear.data import embedded
from innerear.data.hub import SPECS, load_hub, load_parquet
from innerear.data.human import RECIPES, load_human
from innerear.data.manifest import load_manifest
from innerear.data.schema import Corpus
from innerear.util.errors import InputError, unknown_name


class Entry(NamedTuple):
    """A corpus that `load_corpus` knows by name."""

    name: str
    kind: Literal["embedded", "human", "hub"]
    summary: str


def corpus_names() -> list[Entry]:
    """List the corpora known by name, each with one line on what it is."""
    return [
        *(Entry(name, "embedded", summary) for name, summary in embedded.names().items()),
        *(Entry(recipe.name, "human", recipe.summary) for recipe in RECIPES.values()),
        *(Entry(spec.name, "hub", spec.summary) for spec in SPECS.values()),
    ]


def load_corpus(name_or_path: str, *, data_dir: Path | None = None, strict: bool = False) -> Corpus:
    """Load a corpus.

    Parameters
    ----------
    name_or_path
        A name of `corpus_names`; `hub:OWNER/NAME@REVISION/SPLIT` for any hub dataset in a known layout; or
        the path of a `.jsonl` or `.csv` manifest, or of a `.parquet` file in a known layout. `A+B` joins two.
    data_dir
        A folder that holds human corpora (`timit-sample/`, `ravdess/`); `INNEREAR_DATA` is searched next.
    strict
        Whether a single clip that cannot be used is an error. Otherwise it is left out and listed in
        `Corpus.refused`. Faults that only decoding finds (a damaged frame, NaN) show later, in `Item.audio`.

    Raises
    ------
    InputError
        If the name is unknown, a manifest is malformed, or no clip can be used.
    InnerearError
        If a corpus has to be fetched and cannot be, or changed since it was first fetched.
    """
    if name_or_path in RECIPES:
        return load_human(name_or_path, data_dir, strict)
    if name_or_path in SPECS or name_or_path.startswith("hub:"):
        return load_hub(name_or_path, strict)
    if "+" in name_or_path:
        return join([load_corpus(part, data_dir=data_dir, strict=strict) for part in name_or_path.split("+")])
    path = Path(name_or_path).expanduser()
    readers = {".jsonl": load_manifest, ".csv": load_manifest, ".parquet": load_parquet}
    if path.suffix.lower() in readers:
        return readers[path.suffix.lower()](path, strict)
    names = [entry.name for entry in corpus_names()]
    if name_or_path in names:
        return embedded.load(name_or_path)
    hint = "`innerear corpora list` names them"
    raise InputError(
        f"{unknown_name('corpus', name_or_path, names, hint)} "
        "(or give the path of a .jsonl, .csv or .parquet file)"
    )


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
    )
