"""Corpora of the Hugging Face hub, or local Parquet files with the same columns (`LAYOUTS`).

Only Parquet is read, at a pinned revision; no code of a repository runs.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from innerear.data.clips import Row, Sieve, gender, make_item
from innerear.data.fetch import read_record
from innerear.data.human import TIMIT_RATE, TIMIT_REGIONS
from innerear.data.language import ENGLISH
from innerear.data.phones import timit_segments
from innerear.data.schema import Corpus
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_file, write_json
from innerear.util.parquet import Unreadable, check_parquet
from innerear.util.paths import cache_folder
from innerear.util.progress import bar
from innerear.util.reading import read_bytes

if TYPE_CHECKING:
    import datasets  # takes seconds to import, so the functions that use it import it themselves


@dataclass(frozen=True)
class Spec:
    """A corpus of the hub known by name. Without a revision, the newest at first use is recorded and kept."""

    name: str
    summary: str
    repository: str
    split: str
    revision: str | None
    licence: str
    citation: str = ""


_LIBRISPEECH = (
    "Panayotov et al. (2015), LibriSpeech: an ASR corpus based on public domain audio books, ICASSP"
)

SPECS: dict[str, Spec] = {
    f"librispeech-{split}": Spec(
        name=f"librispeech-{split}",
        summary=f"LibriSpeech {split} (40 readers or fewer), words and phones by the Montreal Forced Aligner",
        repository="gilkeyio/librispeech-alignments",
        split=split.replace("-", "_"),
        revision="757c9f789777fbcc2629910289a9134099ebeecf",
        licence="CC BY 4.0",
        citation=_LIBRISPEECH,
    )
    for split in ("dev-clean", "dev-other", "test-clean", "test-other")
}
"""The hub corpora by name."""


def _librispeech_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Times in seconds; the reader is the first number of an id such as 61-70968-0000."""
    return {
        "id": _name(row["id"]),
        "text": _text(row["transcript"]),
        "language": ENGLISH,
        "speaker": _name(row["id"]).split("-")[0],
        "gender": gender(_text(row.get("sex"))),
        "words": [(word["start"], word["end"], word["word"]) for word in _records(row["words"])],
        "phones": [(phone["start"], phone["end"], phone["phoneme"]) for phone in _records(row["phonemes"])],
    }


def _timit_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Times as positions of samples; ids as the TIMIT sample writes them: dr1-fvmh0/sa1."""
    speaker, sentence, region = (_name(row[name]).lower() for name in ("speaker_id", "id", "dialect_region"))
    return {
        "id": f"{region}-{speaker}/{sentence}",
        "text": _text(row["text"]),
        "language": ENGLISH,
        "speaker": speaker,
        "gender": gender(speaker[:1]),
        "accent": TIMIT_REGIONS.get(region.removeprefix("dr"), region),
        "words": _timit_rows(row["word_detail"]),
        "phones": timit_segments(_timit_rows(row["phonetic_detail"])),
        "extra": (("sentence_id", sentence), ("sentence_type", sentence[:2])),
    }


def _timit_rows(value: Any) -> list[Row]:
    return [
        (int(record["start"]) / TIMIT_RATE, int(record["stop"]) / TIMIT_RATE, record["utterance"])
        for record in _records(value)
    ]


def _text(value: Any) -> str:
    """A text, or none."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} in the place of text")
    return value or ""


def _name(value: Any) -> str:
    """A text that is not empty."""
    if not (text := _text(value)):
        raise ValueError("a name is missing")
    return text


def _records(value: Any) -> list[dict[str, Any]]:
    """Lists of records come as such or, from older Parquet, as a record of lists."""
    if isinstance(value, dict):
        return [dict(zip(value, entries, strict=True)) for entries in zip(*value.values(), strict=True)]
    return list(value)


LAYOUTS: dict[tuple[str, ...], Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    ("id", "audio", "transcript", "words", "phonemes"): _librispeech_fields,
    ("id", "audio", "text", "speaker_id", "dialect_region", "word_detail", "phonetic_detail"): _timit_fields,
}
"""Columns that identify a layout -> the function that turns a row into the fields of an item."""


def from_dataset(dataset: "datasets.Dataset", name: str, strict: bool = False, **about: str) -> Corpus:
    """Make a corpus from a dataset in one of `LAYOUTS`; audio stays in its Arrow file until needed.

    Parameters
    ----------
    dataset
        Rows with encoded audio (a feature `Audio`, or records of `bytes` and `path`).
    name
        Name of the corpus.
    strict
        Whether a clip that cannot be used is an error.
    about
        The other fields of `Corpus`: version, source, licence, citation.

    Raises
    ------
    InputError
        If the columns are of no known layout, no clip can be used, or (under `strict`) any clip cannot.
    """
    import datasets

    columns = set(dataset.column_names)
    layout = next((make for known, make in LAYOUTS.items() if columns.issuperset(known)), None)
    if layout is None:
        known = "; or ".join(", ".join(needed) for needed in LAYOUTS)
        raise InputError(f"{name}: columns {', '.join(sorted(columns))} are of no known layout; need {known}")
    if isinstance(dataset.features["audio"], datasets.Audio):
        dataset = dataset.cast_column("audio", datasets.Audio(decode=False))
    audio = dataset.select_columns(["audio"])
    labels = dataset.remove_columns(["audio"])
    sieve = Sieve(strict)
    with bar(f"reading {name}", len(dataset)) as advance:
        for index, row in enumerate(labels):
            where = f"{name}, row {index} ({row['id']})"
            with sieve.clip(str(row["id"])):
                try:
                    fields = layout(row)
                except (TypeError, ValueError, KeyError, AttributeError) as error:
                    raise InputError(
                        f"{where}: a value does not have the type of its layout ({error})"
                    ) from error
                sieve.items.append(make_item(partial(_audio_bytes, audio, index), where, **fields))
            advance()
    return sieve.corpus(name, **about)


def _audio_bytes(audio: "datasets.Dataset", index: int) -> bytes:
    match audio[index]["audio"]:
        case {"bytes": bytes(data)}:
            return data
        case {"path": str(path)}:
            return read_bytes(Path(path))
    raise InputError("its audio is no record of `bytes` or of the `path` of a file")


def load_parquet(path: Path, strict: bool = False) -> Corpus:
    """Load a local Parquet file in one of `LAYOUTS`; errors as `from_dataset`."""
    dataset = _read_parquet([path])
    digest = sha256_file(path)
    about = {"version": digest[:12], "source": f"{path.name} (sha256 {digest})"}
    return from_dataset(dataset, path.stem, strict, licence="not stated in a Parquet file", **about)


def load_hub(name: str, strict: bool = False) -> Corpus:
    """Load a corpus of `SPECS`, or any other in a known layout as `hub:OWNER/NAME[@REVISION]/SPLIT`.

    Raises
    ------
    InputError
        As `from_dataset`; and if the name is not of this form, or the split has no Parquet file.
    InnerearError
        If the hub cannot be reached or refuses (gated sets need `hf auth login`).
    """
    spec = SPECS.get(name) or _parse_name(name)
    # Without a revision, a corpus keeps the one that this machine used first, so that results do not drift.
    record = cache_folder() / "corpora" / "hub-revisions.json"
    known = read_record(record)
    wanted = spec.revision or known.get(spec.repository, "main")
    patterns = [f"*{spec.split}-*.parquet", f"*{spec.split}/*.parquet", f"*{spec.split}.parquet"]
    try:
        folder = Path(
            snapshot_download(spec.repository, repo_type="dataset", revision=wanted, allow_patterns=patterns)
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InnerearError(
            f"cannot get {spec.repository} from the hub ({reason}); check the network, or log in by"
            " `hf auth login` if it is gated"
        ) from error
    revision = folder.name  # The hub's cache names a snapshot by its commit.
    if wanted == "main":
        write_json(record, known | {spec.repository: revision})
    of_split = re.compile(rf"(?:.*/)?{re.escape(spec.split)}(?:[-/].*)?\.parquet")
    inside = {path: path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.parquet"))}
    files = [path for path, name in inside.items() if of_split.fullmatch(name)]
    if not files:
        raise InputError(
            f"{spec.repository} at {revision[:12]} holds no Parquet file of split {spec.split!r}"
        )
    return from_dataset(
        _read_parquet(files),
        spec.name,
        strict,
        version=revision[:12],
        source=f"https://huggingface.co/datasets/{spec.repository} at {revision}, split {spec.split}",
        licence=spec.licence,
        citation=spec.citation,
    )


def _read_parquet(files: list[Path]) -> "datasets.Dataset":
    import datasets

    datasets.disable_progress_bars()  # they would break ours, and what it logs is said below
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        for path in files:
            check_parquet(path)
        return datasets.Dataset.from_parquet([str(path) for path in files])
    except (datasets.exceptions.DatasetGenerationError, *Unreadable) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise InputError(f"{files[0]}: cannot be read as Parquet ({reason}); fetch it again") from error


def _parse_name(name: str) -> Spec:
    form = re.fullmatch(r"hub:([\w.-]+/[\w.-]+)(?:@([0-9a-f]{40}))?/([\w.-]+)", name)
    if not form:
        raise InputError(f"{name!r} is not of the form hub:OWNER/NAME[@40-digit revision]/SPLIT")
    repository, revision, split = form.groups()
    safe = f"{repository.replace('/', '--')}-{split}"
    return Spec(safe, "", repository, split, revision, licence=f"see its card, {repository}")
