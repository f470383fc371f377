"""Corpora of the Hugging Face hub, or local Parquet files with the same columns.

Only Parquet is read, at a pinned revision; no code of a repository runs.
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from innerear.data.clips import Sieve, make_item
from innerear.data.fetch import read_record
from innerear.data.hub_layouts import ROW, layout_of
from innerear.data.schema import Corpus
from innerear.util.errors import InnerearError, InputError, NotHere
from innerear.util.io import sha256_file, write_json
from innerear.util.parquet import Unreadable, check_parquet
from innerear.util.paths import cache_folder
from innerear.util.progress import bar
from innerear.util.reading import read_bytes
from innerear.util.words import counted

if TYPE_CHECKING:
    import datasets  # takes seconds to import, so the functions that use it import it themselves


@dataclass(frozen=True)
class Spec:
    """A corpus of the hub known by name. Without a revision, the newest at first use is recorded and kept.

    Attributes
    ----------
    split
        Name of the split in the names of its files, with the folder where other languages have one, too.
    clips, hours, speakers, size
        As its publisher states them, size in bytes of what is downloaded; None where nobody does. They serve
        estimates before it is here, and are not verified.
    """

    name: str
    summary: str
    repository: str
    split: str
    revision: str | None
    licence: str
    citation: str = ""
    clips: int | None = None
    hours: float | None = None
    speakers: int | None = None
    size: int | None = None


_LIBRISPEECH = (
    "Panayotov et al. (2015), LibriSpeech: an ASR corpus based on public domain audio books, ICASSP"
)

_ALL = (
    *(
        Spec(
            name=f"librispeech-{split}",
            summary=f"LibriSpeech {split} (40 readers or fewer), words and phones by the Montreal Forced"
            " Aligner",
            repository="gilkeyio/librispeech-alignments",
            split=split.replace("-", "_"),
            revision="757c9f789777fbcc2629910289a9134099ebeecf",
            licence="CC BY 4.0",
            citation=_LIBRISPEECH,
            clips=clips,
            hours=hours,
            speakers=speakers,
            size=350_000_000,
        )
        for split, clips, hours, speakers in (
            ("dev-clean", 2703, 5.4, 40),
            ("dev-other", 2864, 5.3, 33),
            ("test-clean", 2620, 5.4, 40),
            ("test-other", 2939, 5.1, 33),
        )
    ),
    # The commits below are quoted from other projects that pin them, and were not fetched here.
    # Mozilla took its own copies off the hub; this is one of version 17. Files and hours as the hub's page
    # lists them: 23 of 420 MB, 9.2 GB of samples of 16 bits at 48 kHz.
    Spec(
        name="common-voice-en-test",
        summary="Common Voice 17.0, English, test: readers of sentences, who say their gender and accent",
        repository="fixie-ai/common_voice_17_0",
        split="en/test",
        revision="34f78a43893414e7b6e271ba94c1d5e05f18b239",
        licence="CC0-1.0",
        citation="Ardila et al. (2020), Common Voice: a massively-multilingual speech corpus, LREC",
        clips=16_160,
        hours=26.6,
        size=9_660_000_000,
    ),
    # Hours: the share by clips of the 40 of the paper.
    *(
        Spec(
            name=f"edacc-{split}",
            summary=f"EdAcc {split}: conversations of speakers of many accents of English",
            repository="edinburghcstr/edacc",
            split=split,
            revision="d9ae7bd344f0562b766ec93ee5ce8f2f9568ce66",
            licence="CC BY-SA",
            citation="Sanabria et al. (2023), The Edinburgh International Accents of English Corpus: towards"
            " the democratization of English ASR, ICASSP",
            clips=clips,
            hours=hours,
            size=size,
        )
        for split, clips, hours, size in (
            ("validation", 9848, 20.6, 2_600_000_000),
            ("test", 9289, 19.4, 4_900_000_000),
        )
    ),
    Spec(
        name="esc-50",
        summary="ESC-50: 2,000 clips of 50 kinds of sound in which nobody speaks",
        repository="ashraq/esc50",
        split="train",
        revision="e3e2a63ffff66b9a9735524551e3818e96af03ee",
        licence="CC BY-NC 3.0",
        citation="Piczak (2015), ESC: Dataset for Environmental Sound Classification, ACM Multimedia",
        clips=2000,
        hours=2.8,
        size=773_320_991,
    ),
)
SPECS: dict[str, Spec] = {spec.name: spec for spec in _ALL}
"""The hub corpora by name."""


def from_dataset(dataset: "datasets.Dataset", name: str, strict: bool = False, **about: str) -> Corpus:
    """Make a corpus from a dataset in a known layout; audio stays in its Arrow file until needed.

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
        If the columns are of no known layout, two clips have one id, no clip can be used, or (under `strict`)
        any clip cannot.
    """
    import datasets

    layout = layout_of(dataset.column_names, name)
    if isinstance(dataset.features["audio"], datasets.Audio):
        dataset = dataset.cast_column("audio", datasets.Audio(decode=False))
    audio = dataset.select_columns(["audio"])
    labels = dataset.remove_columns(["audio"])
    sieve = Sieve(strict)
    seen: dict[str, int] = {}
    with bar(f"reading {name}", len(dataset)) as advance:
        for index, row in enumerate(labels):
            own = str(row[layout.name]) if layout.name else f"row-{index}"
            where = f"{name}, row {index} ({own})" if layout.name else f"{name}, row {index}"
            with sieve.clip(own):
                try:
                    fields = layout.fields(row | {ROW: index})
                    item = make_item(partial(_audio_bytes, audio, index), where, **fields)
                except (TypeError, ValueError, KeyError, AttributeError) as error:
                    raise InputError(
                        f"{where}: a value does not have the type of its layout ({error})"
                    ) from error
                sieve.items.append(item)
            if (other := seen.setdefault(own, index)) != index:
                raise InputError(f"{where}: row {other} has this id, too; ids must differ")
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
    """Load a local Parquet file in a known layout; errors as `from_dataset`."""
    dataset = _read_parquet([path])
    digest = sha256_file(path)
    about = {"version": digest[:12], "source": f"{path.name} (sha256 {digest})"}
    return from_dataset(dataset, path.stem, strict, licence="not stated in a Parquet file", **about)


def load_hub(name: str, strict: bool = False, fetch: bool = True) -> Corpus:
    """Load a corpus of `SPECS`, or any other in a known layout as `hub:OWNER/NAME[@REVISION]/SPLIT`.

    Raises
    ------
    InputError
        As `from_dataset`; and if the name is not of this form, or the split has no Parquet file.
    InnerearError
        If the hub cannot be reached or refuses (gated sets need `hf auth login`); `NotHere`, if it must not
        be asked.
    """
    spec = SPECS.get(name) or _parse_name(name)
    # Without a revision, a corpus keeps the one that this machine used first, so that results do not drift.
    record = cache_folder() / "corpora" / "hub-revisions.json"
    known = read_record(record)
    wanted = spec.revision or known.get(spec.repository, "main")
    patterns = [f"*{spec.split}-*.parquet", f"*{spec.split}/*.parquet", f"*{spec.split}.parquet"]
    try:
        folder = Path(
            snapshot_download(
                spec.repository,
                repo_type="dataset",
                revision=wanted,
                allow_patterns=patterns,
                local_files_only=not fetch,
            )
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        if not fetch:
            raise NotHere(f"{name} is not here") from error
        reason = " ".join(str(error).split())
        raise InnerearError(
            f"cannot get {spec.repository} from the hub ({reason}); check the network, or log in by"
            " `hf auth login` if it is gated"
        ) from error
    revision = folder.name  # The hub's cache names a snapshot by its commit.
    if wanted == "main" and fetch:
        write_json(record, read_record(record) | {spec.repository: revision})  # others may have written to it
    files, missing = _of_split(folder, spec)
    if (missing or not files) and not fetch:
        raise NotHere(f"{name} is not here")  # but another split of its repository, or a part
    if missing:
        raise InnerearError(
            f"{spec.repository} at {revision[:12]}: {missing} of split {spec.split!r} are not here, and the "
            "hub cannot be reached; run again with a network, which downloads the rest"
        )
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


def _of_split(folder: Path, spec: Spec) -> tuple[list[Path], str]:
    """Parquet files of a split, and how many of them are missing where their names say how many there are.

    Raises
    ------
    InputError
        If several folders have a split of this name.
    """
    part = re.compile(
        rf"(?P<place>(?:.*/)?){re.escape(spec.split)}(?:-\d+(?:-of-\d+(?:-\w+)?)?|/.*)?\.parquet"
    )
    inside = {path: path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.parquet"))}
    found = {path: match for path, name in inside.items() if (match := part.fullmatch(name))}
    if len(places := sorted({match["place"] for match in found.values()})) > 1:
        raise InputError(
            f"{spec.repository}: split {spec.split!r} is in {', '.join(place or './' for place in places)}; "
            f"name one of them as hub:{spec.repository}/{places[-1]}{spec.split}"
        )
    stated = [int(of) for path in found for of in re.findall(r"\d-of-(\d+)", path.stem)]
    wanted = max(stated, default=0)
    missing = wanted - len(stated)
    return [*found], f"{missing} of {counted(wanted, 'file')}" if missing > 0 else ""


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
    form = re.fullmatch(r"hub:([\w.-]+/[\w.-]+)(?:@([0-9a-f]{40}))?/((?:[\w.-]+/)*[\w.-]+)", name)
    if not form:
        raise InputError(f"{name!r} is not of the form hub:OWNER/NAME[@40-digit revision]/SPLIT")
    repository, revision, split = form.groups()
    safe = f"{repository.replace('/', '--')}-{split.replace('/', '-')}"
    return Spec(safe, "", repository, split, revision, licence=f"see its card, {repository}")
