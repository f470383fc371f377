"""Human speech that anyone can get: the TIMIT sample and RAVDESS, from a local folder or their publishers.

Neither may be redistributed here, so neither is in the package. Archives are read in place.
"""

import os
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from innerear.data.clips import Row, Sieve, make_item
from innerear.data.fetch import fetch_archive, is_fetched
from innerear.data.language import ENGLISH
from innerear.data.phones import timit_segments
from innerear.data.schema import Corpus, Item
from innerear.util.errors import InnerearError, InputError, NotHere
from innerear.util.paths import cache_folder
from innerear.util.progress import bar

Folder = Path | zipfile.Path
"""A folder or file, on disk or inside an archive: both have `iterdir`, `joinpath` and `read_bytes`."""


@dataclass(frozen=True)
class Recipe:
    """How to fetch and read one corpus.

    `clip` matches the path of a clip inside the corpus; `read` makes an item from (folder, path, match).
    `alias` is the folder's name where its publisher keeps it, and its root inside the archive.
    """

    name: str
    summary: str
    version: str
    url: str
    alias: str
    clip: re.Pattern[str]
    read: Callable[[Folder, str, re.Match[str]], Item]
    licence: str
    citation: str


TIMIT_REGIONS = {
    "1": "New England", "2": "Northern", "3": "North Midland", "4": "South Midland", "5": "Southern",
    "6": "New York City", "7": "Western", "8": "Army Brat",
}  # fmt: skip
_EMOTIONS = {
    "01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful",
    "07": "disgust", "08": "surprised",
}  # fmt: skip
_STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
TIMIT_RATE = 16_000
"""Hz. Labels of TIMIT are positions of samples at this rate, whatever the rate of the audio."""


def parse_timit_labels(text: str, where: str) -> list[Row]:
    """Parse a `.phn` or `.wrd` file: first sample, end sample and label on each line; times in seconds.

    Raises
    ------
    InputError
        Naming the line that does not have this form.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match line.split(maxsplit=2):
            case [start, end, label] if start.isdecimal() and end.isdecimal():
                rows.append((int(start) / TIMIT_RATE, int(end) / TIMIT_RATE, label.strip()))
            case _:
                raise InputError(f"{where}:{number}: expected 'first-sample end-sample label', got {line!r}")
    return rows


def _timit(folder: Folder, path: str, match: re.Match[str]) -> Item:
    stem, sentence = path.removesuffix(".wav"), match["sentence"]

    def labels(suffix: str) -> list[Row]:
        node = folder.joinpath(stem + suffix)
        if not node.is_file():
            raise InputError(f"{stem}{suffix}: the label file is missing; restore the corpus")
        return parse_timit_labels(node.read_text(encoding="ascii", errors="replace"), stem + suffix)

    texts = labels(".txt")
    if len(texts) != 1:
        raise InputError(f"{stem}.txt: expected the sentence on one line, got {len(texts)} lines")
    return make_item(
        folder.joinpath(path).read_bytes,
        path,
        id=stem,
        text=" ".join(texts[0][2].split()),
        language=ENGLISH,
        speaker=match["speaker"],
        gender="female" if match["speaker"][0] == "f" else "male",
        accent=TIMIT_REGIONS[match["region"]],
        words=labels(".wrd"),
        phones=timit_segments(labels(".phn")),
        extra=(("sentence_id", sentence), ("sentence_type", sentence[:2])),
    )


def _ravdess(folder: Folder, path: str, match: re.Match[str]) -> Item:
    emotion, statement = _EMOTIONS[match["emotion"]], _STATEMENTS[match["statement"]]
    return make_item(
        folder.joinpath(path).read_bytes,
        path,
        id=match["id"],
        text=statement,
        language=ENGLISH,
        speaker=f"actor_{match['actor']}",
        gender="male" if int(match["actor"]) % 2 else "female",
        accent="North American",
        condition=emotion,
        extra=(
            ("emotion", emotion),
            ("intensity", "strong" if match["intensity"] == "02" else "normal"),
            ("sentence_id", match["statement"]),
            ("repetition", str(int(match["repetition"]))),
        ),
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="timit-sample",
            summary="160 sentences by 16 speakers of American English, phones and words labelled by hand",
            version="1",
            url="https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/timit.zip",
            alias="timit",
            clip=re.compile(r"dr(?P<region>[1-8])-(?P<speaker>[fm]\w+)/(?P<sentence>(?:sa|si|sx)\d+)\.wav"),
            read=_timit,
            licence="CC BY-NC-SA (Copyright 1993 Linguistic Data Consortium; sample distributed by NLTK)",
            citation="Garofolo et al. (1993), TIMIT Acoustic-Phonetic Continuous Speech Corpus, LDC93S1",
        ),
        Recipe(
            name="ravdess",
            summary="24 actors say the same two sentences in several emotions: gender with the words fixed",
            version="1.0.0",
            url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
            alias="Audio_Speech_Actors_01-24",
            # Modality 03 is audio alone, vocal channel 01 is speech; the rest is read off the name.
            clip=re.compile(
                r"(?:.*/)?(?P<id>03-01-(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<statement>0[12])"
                r"-(?P<repetition>0[12])-(?P<actor>[0-2]\d))\.(?:wav|flac)"
            ),
            read=_ravdess,
            licence="CC BY-NC-SA 4.0",
            citation="Livingstone & Russo (2018), The Ryerson Audio-Visual Database of Emotional Speech and"
            " Song, PLoS ONE 13(5): e0196391, doi:10.5281/zenodo.1188976",
        ),
    )
}
"""The human corpora by name."""


def load_human(name: str, data_dir: Path | None = None, strict: bool = False, fetch: bool = True) -> Corpus:
    """Load a human corpus: from `data_dir` or `INNEREAR_DATA` if one holds it, else fetched into the cache.

    Raises
    ------
    InputError
        If `data_dir` is no folder, no clip can be used, or (under `strict`) any clip cannot.
    InnerearError
        If it has to be fetched and cannot be (`NotHere`: must not be), or a fetched archive has changed.
    """
    recipe = RECIPES[name]
    if local := local_folder(recipe, data_dir):
        return _read_corpus(recipe, local, "", strict)
    folder = cache_folder() / "corpora" / name
    if not fetch and not is_fetched(recipe.url, folder):
        raise NotHere(f"{name} is not here")
    try:
        archive, digest = fetch_archive(recipe.url, folder)
    except InnerearError as error:
        raise InnerearError(
            f"{name}: {error}; or name a folder that holds {name}/ by --data-dir or INNEREAR_DATA"
        ) from error
    root = zipfile.Path(archive)
    inside = root.joinpath(recipe.alias)
    source = f"{recipe.url} (sha256 {digest})"
    return _read_corpus(recipe, inside if inside.is_dir() else root, source, strict)


def local_folder(recipe: Recipe, data_dir: Path | None) -> Path | None:
    """The folder of a corpus in `data_dir` or `INNEREAR_DATA`, if one holds it."""
    if data_dir is not None and not data_dir.is_dir():
        raise InputError(f"--data-dir {data_dir}: no such folder")
    environment = os.environ.get("INNEREAR_DATA")
    for parent in (data_dir, Path(environment).expanduser() if environment else None):
        for name in (recipe.name, recipe.alias) if parent else ():
            if parent and (parent / name).is_dir():
                return parent / name
    return None


def _read_corpus(recipe: Recipe, folder: Folder, source: str, strict: bool) -> Corpus:
    matches = {path: match for path in _walk(folder) if (match := recipe.clip.fullmatch(path))}
    # Copies nest the whole corpus inside itself (Kaggle's RAVDESS does): a file name counts once.
    clips = {match.groupdict().get("id", path): (path, match) for path, match in sorted(matches.items())}
    sieve = Sieve(strict)
    with bar(f"reading {recipe.name}", len(clips)) as advance:
        for item_id, (path, match) in sorted(clips.items()):
            with sieve.clip(item_id.removesuffix(".wav")):
                sieve.items.append(recipe.read(folder, path, match))
            advance()
    return sieve.corpus(
        recipe.name,
        version=recipe.version,
        source=source or _describe_copy(folder, sieve.items),
        licence=recipe.licence,
        citation=recipe.citation,
    )


def _walk(folder: Folder, inside: str = "") -> Iterator[str]:
    """Paths of all files under `folder`, relative to it, hidden ones left out."""
    for node in folder.iterdir():
        if node.name.startswith((".", "__MACOSX")):
            continue
        if node.is_dir():
            yield from _walk(node, f"{inside}{node.name}/")
        else:
            yield inside + node.name


def _describe_copy(folder: Folder, items: list[Item]) -> str:
    """Describe a local copy: a hash of its audio, and the bold text of its README.md (restored, …).

    It names no path, so that the same copy elsewhere gives the same result.
    """
    digest = sha256("".join(item.audio_sha256 for item in items).encode()).hexdigest()
    readme = folder.joinpath("README.md")
    notes = re.findall(r"\*\*(.+?)\*\*", readme.read_text(encoding="utf-8")) if readme.is_file() else []
    return " ".join([f"local copy (audio sha256 {digest}).", *notes])
