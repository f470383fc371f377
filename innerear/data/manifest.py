"""A user's own corpus: rows of columns (audio, transcript, speaker, labels, …) from any layout become items.

A malformed manifest (not JSON, a missing or misspelt column, a repeated id) is an error; a clip that cannot
be used is refused, with its line number. docs/add-a-corpus.md describes the columns.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from innerear.data.clips import SLACK, Row, Sieve, gender, make_item
from innerear.data.columns import BOUND, LABEL_COLUMNS, Fields, Line, local, validated
from innerear.data.labels import channel_number, parse_ctm, read_textgrid, shift, split_ctm
from innerear.data.language import ENGLISH, language_code
from innerear.data.layouts import read_layout
from innerear.data.phone_sets import PHONE_SETS, decide, folded
from innerear.data.phones import is_noise
from innerear.data.recordings import CONTRADICTION, Excerpt, excerpt
from innerear.data.schema import Corpus, Item, Note, Segment
from innerear.util.errors import InputError
from innerear.util.io import sha256_file, write_bytes
from innerear.util.progress import bar
from innerear.util.reading import read_text
from innerear.util.words import counted

Aligner = Callable[[np.ndarray, str], tuple[Sequence[Segment], Sequence[Segment]]]
"""Audio (float32, 16 kHz) and its text -> words and phones, as `innerear.data.align.align`."""


_UNKNOWN = {"<unk>", "<oov>", "spn", "<spoken_noise>"}
"""Labels of words that somebody says, but that are not in an aligner's dictionary."""


@dataclass
class _Draft:
    """A clip and its raw labels, before it is known what set the labels are of."""

    line: Line
    clip: Excerpt
    words: list[Row]
    phones: list[Row]
    phone_set: str = ""


def load_manifest(path: Path, strict: bool = False) -> Corpus:
    """Load the corpus that a file (`.jsonl`, `.csv`, `.tsv`, …) or a folder in a known layout describes.

    Raises
    ------
    InputError
        If the manifest is malformed, the layout unknown, no clip can be used, or (under `strict`) any clip
        cannot.
    """
    sieve = Sieve(strict)
    found = read_layout(path)
    lines = validated(found)
    for name, reason in found.refused:
        with sieve.clip(name):
            raise InputError(reason)
    drafts: list[_Draft] = []
    notes = Counter[str]()
    with bar(f"reading {found.name}", len(lines)) as advance:
        for line in lines:
            with sieve.clip(line.fields.id):
                drafts.append(_draft(line, found.folder, notes))
            advance()
    said = [*_decide_sets(drafts), *_said(drafts, notes)]
    inventories = {
        name: frozenset(label for draft in drafts if draft.phone_set == name for _, _, label in draft.phones)
        for name in PHONE_SETS
    }
    for draft in drafts:
        with sieve.clip(draft.line.fields.id):
            sieve.items.append(_item(draft, inventories))
    order = {line.fields.id: number for number, line in enumerate(lines)}
    sieve.refused.sort(key=lambda entry: order.get(entry[0], -1))
    digest = _digest(found.files)
    return sieve.corpus(
        found.name,
        version=digest[:12],
        source=f"{found.layout} {path.name or found.name} (sha256 {digest})",
        licence="not stated in a manifest",
        notes=tuple(said),
    )


def _digest(files: Sequence[Path]) -> str:
    digests = [sha256_file(file) for file in files]
    return digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()


def align_manifest(path: Path, output: Path, align: Aligner, strict: bool = False) -> Corpus:
    """Write the manifest `output` (JSONL): that of `path`, with the words and phones that `align` finds.

    Labels that `path` has are replaced. The audio stays where it is.

    Returns
    -------
    Corpus
        What `output` describes; `refused` lists the clips of `path` that could not be aligned.

    Raises
    ------
    InputError
        As `load_manifest`; and if `output` is not a `.jsonl` file or cannot be written.
    """
    if output.suffix.lower() != ".jsonl":
        raise InputError(f"{output}: an aligned manifest is JSONL; name the output *.jsonl")
    sieve, rows = Sieve(strict), []
    found = read_layout(path)
    lines = validated(found)
    with bar(f"aligning {path.name}", len(lines)) as advance:
        for line in lines:
            with sieve.clip(line.fields.id):
                plain = line.fields.model_dump(exclude=LABEL_COLUMNS, exclude_unset=True)
                bare = Line(line.where, Fields(**plain), line.name)
                item = _item(_draft(bare, found.folder, Counter()), {})
                try:
                    words, phones = align(item.audio(), item.text) if item.is_speech else ((), ())
                except InputError as error:
                    raise InputError(f"{line.where}: {error}") from error
                audio = local(line.fields.audio, found.folder)
                labels = {
                    "audio": Path(os.path.relpath(audio, output.parent)).as_posix(),
                    "words": [_times(word, "text") for word in words],
                    "phones": [_times(phone, "label") for phone in phones],
                }
                rows.append(plain | {"id": item.id} | labels)
            advance()
    if not rows:
        raise InputError(f"{path}: no clip could be aligned, the first: {sieve.refused[0][1]}")
    write_bytes(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    aligned = load_manifest(output, strict)
    return replace(aligned, refused=(*sieve.refused, *aligned.refused))


def _times(segment: Segment, name: str) -> dict[str, Any]:
    return {name: segment.label, "start": round(segment.start, 4), "end": round(segment.end, 4)}


def _draft(line: Line, folder: Path, notes: Counter[str]) -> _Draft:
    where, fields, name = line
    try:
        if not fields.audio.strip():
            raise InputError("the column 'audio' is empty; name the file or remove the line")
        if odd := [column for column in fields.model_extra or {} if BOUND.fullmatch(column.lower())]:
            raise InputError(f"the column {odd[0]!r} is not understood; give start and end in seconds")
        target, spoken = (
            language_code(language)
            for language in (str((fields.model_extra or {}).get("target_lang", "")), fields.language)
        )
        if target and spoken and target != spoken:
            raise InputError(
                f"the text is a translation (target_lang {target}); give what is said, in {spoken}"
            )
        if fields.phone_set not in ("", "timit", *PHONE_SETS):
            raise InputError(
                f"phone_set {fields.phone_set!r} is not known; there are {', '.join(PHONE_SETS)} and timit"
            )
        channel = channel_number(fields.channel) if fields.channel else None
        if fields.channel and not channel:
            raise InputError(f"channel {fields.channel!r}: channels are A, B, … or counted from 1")
        clip = excerpt(
            local(fields.audio, folder),
            name,
            start=fields.start,
            end=fields.end,
            duration=fields.duration,
            channel=channel,
        )
        words, phones = _labels(fields, folder, clip, channel, notes)
        if phones and language_code(fields.language) not in ("", ENGLISH):
            notes[f"phones of language {fields.language} are not read: the classes are English"] += 1
            phones = []
        return _Draft(line, clip, words, phones)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _decide_sets(drafts: Sequence[_Draft]) -> list[Note]:
    """Give each clip the set of its phone labels: as stated, or as all clips together tell."""
    open_ = [draft for draft in drafts if draft.phones and not draft.line.fields.phone_set]
    sets, ambiguous = decide([{label for _, _, label in draft.phones} for draft in open_])
    for draft, name in zip(open_, sets, strict=True):
        draft.phone_set = name
    for draft in drafts:
        if stated := draft.line.fields.phone_set:
            draft.phone_set = "arpabet" if stated == "timit" else stated
    used = Counter(draft.phone_set for draft in drafts if draft.phone_set)
    if ambiguous:
        return [
            Note("warning", "phone labels could be of several sets and are read as arpabet; state phone_set")
        ]
    if set(used) - {"arpabet"}:
        listed = ", ".join(f"{name} in {counted(count, 'clip')}" for name, count in used.items())
        return [Note("information", f"phone labels are read as {listed}; the column phone_set states a set")]
    return []


def _said(drafts: Sequence[_Draft], notes: Counter[str]) -> list[Note]:
    """What was read but is not scored or not understood."""
    unscored = Counter(
        label.strip()
        for draft in drafts
        for rows, word in ((draft.words, True), (draft.phones, False))
        for _, _, label in rows
        if label.strip().lower() not in ("", "sil", "sp", "<eps>", "<sil>", "<p:>", "pau", "h#", "epi")
        and is_noise(label, word)
    )
    unknown = sum(any(label.lower() in _UNKNOWN for *_, label in draft.words) for draft in drafts)
    if unknown:
        notes["the aligner did not know some words (<unk>): transcripts made of its words lack them"] = (
            unknown
        )
    said = [Note("warning", f"{note} (clips: {count})") for note, count in notes.items()]
    if unscored:
        listed = ", ".join(f"{count} × {label}" for label, count in unscored.most_common(5))
        said.append(
            Note("information", f"labels of noise or unwritten speech, which no task scores: {listed}")
        )
    return said


def _item(draft: _Draft, inventories: dict[str, frozenset[str]]) -> Item:
    where, fields, _ = draft.line
    try:
        phones = folded(draft.phones, inventories[draft.phone_set], draft.phone_set) if draft.phones else []
        return make_item(
            draft.clip,
            draft.clip.where,
            words=draft.words,
            phones=phones,
            **fields.model_dump(
                include={"id", "text", "speech", "language", "speaker", "accent", "condition"}
            ),
            gender=gender(fields.gender),
            extra=tuple(
                (name, value if isinstance(value, str) else json.dumps(value))
                for name, value in sorted((fields.model_extra or {}).items())
            ),
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _labels(
    fields: Fields, folder: Path, clip: Excerpt, channel: int | None, notes: Counter[str]
) -> tuple[list[Row], list[Row]]:
    inline = fields.words or fields.phones
    if bool(inline) + bool(fields.textgrid) + bool(fields.ctm or fields.word_ctm) > 1:
        raise InputError("labels come from more than one of textgrid, ctm and inline lists; keep one")
    if fields.textgrid:
        return _textgrid(fields, folder, clip, notes)
    if fields.ctm or fields.word_ctm:
        ctm = partial(_ctm, fields=fields, folder=folder, clip=clip, channel=channel)
        return ctm(fields.word_ctm), ctm(fields.ctm)
    words, phones = (
        [(row.start, row.end, row.label) for row in rows] for rows in (fields.words, fields.phones)
    )
    return words, phones


def _textgrid(
    fields: Fields, folder: Path, clip: Excerpt, notes: Counter[str]
) -> tuple[list[Row], list[Row]]:
    """Labels of a TextGrid as long as the clip, wherever its time begins; or of the whole recording."""
    tiers = (fields.word_tier, fields.phone_tier)
    grid = read_textgrid(local(fields.textgrid, folder), Path(fields.textgrid).name, fields.speaker, *tiers)
    if grid.unread:
        notes[f"tiers not read: {', '.join(grid.unread)}; name them in word_tier or phone_tier"] += 1
    misses_clip = abs(grid.end - grid.start - clip.seconds)
    if not clip.is_part and misses_clip > CONTRADICTION:
        notes["a TextGrid is not as long as its audio; check that it is of this clip"] += 1
    if not clip.is_part and not (grid.start and misses_clip <= SLACK):
        return grid.words, grid.phones
    misses_file = abs(grid.end - clip.recording.seconds) if not grid.start else math.inf
    start = grid.start if misses_clip <= min(SLACK, misses_file) else clip.start
    end = start + clip.seconds
    if grid.end < end - SLACK or (clip.is_part and grid.start > start):
        raise InputError(
            f"{Path(fields.textgrid).name}: it covers {grid.start:.3f} to {grid.end:.3f} s, neither the clip"
            f" ({clip.seconds:.3f} s) nor its recording; give the TextGrid of either"
        )
    return shift(grid.words, start, end), shift(grid.phones, start, end)


def _ctm(name: str, fields: Fields, folder: Path, clip: Excerpt, channel: int | None) -> list[Row]:
    """Labels of a clip in a CTM file, by its id; or of its recording, by the stem of the audio."""
    if not name:
        return []
    path = local(name, folder)
    name = path.name
    try:
        clips = _split_file(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise InputError(f"{name}: cannot read the CTM file ({error.strerror}); correct the path") from error
    if lines := clips.get(fields.id):
        sides = {line.split()[1] for _, line in lines if len(line.split()) > 1}
        return parse_ctm(lines, name, channel if len(sides) > 1 else None)
    lines = clips.get(fields.recording or Path(fields.audio).stem)
    if not lines:
        raise InputError(f"{name}: no line of clip {fields.id!r}; its first fields name others")
    rows = parse_ctm(lines, name, channel)
    return shift(rows, clip.start, clip.start + clip.seconds) if clip.is_part else rows


@lru_cache(maxsize=8)
def _split_file(path: Path, modified: int) -> dict[str, list[tuple[int, str]]]:
    """One CTM file serves all clips of a corpus; `modified` keeps an edited file from being served stale."""
    return split_ctm(read_text(path, path.name))
