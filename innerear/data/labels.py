"""Read word and phone times from TextGrids (Praat, MFA) and CTM files (NIST, Kaldi)."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from praatio import textgrid
from praatio.utilities.errors import PraatioException

from innerear.data.clips import SLACK, Row
from innerear.util.errors import InputError
from innerear.util.reading import MIB, regular

PHONE_TIERS = ("phones", "phone", "phn", "phonemes", "phoneme", "mau")
WORD_TIERS = ("words", "word", "wrd", "ort-mau", "ort")
"""Names of tiers in any case, alone or after a speaker (`Ann - words`, by MFA); MAU is WebMAUS's."""

_CANONICAL = "kan-mau"
"""WebMAUS's third tier: the pronunciation that it expected."""


MOST_GRID = 64 * MIB
"""Bytes of a TextGrid; an hour of speech with words and phones has some 10 MiB."""
_SIDES = {"l": 1, "left": 1, "r": 2, "right": 2}


class Grid(NamedTuple):
    """Words and phones of a TextGrid in seconds, its bounds, and the tiers that were not read."""

    words: list[Row]
    phones: list[Row]
    start: float
    end: float
    unread: tuple[str, ...]


def read_textgrid(
    path: Path, where: str, speaker: str = "", word_tier: str = "", phone_tier: str = ""
) -> Grid:
    """Read the words and the phones of a TextGrid, long or short form.

    Parameters
    ----------
    path
        The TextGrid.
    where
        Its name for messages.
    speaker
        Selects among the tiers of several speakers.
    word_tier, phone_tier
        Names of tiers that are not among `WORD_TIERS` and `PHONE_TIERS`.

    Returns
    -------
    Grid
        Times are those of the file, which may begin after 0; a kind without a tier is empty.

    Raises
    ------
    InputError
        If the file is missing or no TextGrid, if a requested tier is absent, if there are neither
        words nor phones, or if several tiers could be meant.
    """
    try:
        regular(path, MOST_GRID, where)
        grid = textgrid.openTextgrid(
            str(path), includeEmptyIntervals=True, reportingMode="silence", duplicateNamesMode="rename"
        )
    except FileNotFoundError as error:
        raise InputError(f"{where}: no such TextGrid; correct the path") from error
    # What praatio raises on a damaged file depends on where its parser stumbles.
    except (
        PraatioException,
        OSError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        RecursionError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{where}: cannot be read as a TextGrid ({reason}); export it again") from error
    names = {"words": _tier(grid, where, speaker, WORD_TIERS, word_tier)}
    names["phones"] = _tier(grid, where, speaker, PHONE_TIERS, phone_tier)
    if not any(names.values()):
        raise InputError(
            f"{where}: no tier named 'words' or 'phones' (tiers: {', '.join(grid.tierNames)});"
            " name them in the columns word_tier and phone_tier"
        )
    words, phones = (_rows(grid, where, name) if name else [] for name in names.values())
    others = [name for name in grid.tierNames if name not in names.values() and not _is_known(name)]
    unread = [name for name in others if re.sub(r"_\d+$", "", name) not in {*others} - {name}]
    return Grid(words, phones, float(grid.minTimestamp), float(grid.maxTimestamp), tuple(unread))


def _kind(name: str) -> str:
    """What a tier holds: its name after the last " - " ("Ann - phones"), without praatio's number."""
    return re.sub(r"_\d+$", "", name.lower().rpartition(" - ")[2].strip())


def _is_known(name: str) -> bool:
    return _kind(name) in (*PHONE_TIERS, *WORD_TIERS, _CANONICAL)


def _tier(grid: textgrid.Textgrid, where: str, speaker: str, known: tuple[str, ...], wanted: str) -> str:
    """The name of the tier that is meant; empty if there is none."""
    tiers = ", ".join(grid.tierNames)
    if wanted:
        if wanted not in grid.tierNames:
            raise InputError(f"{where}: no tier {wanted!r} (tiers: {tiers}); correct the column")
        if f"{wanted}_2" in grid.tierNames:
            raise InputError(f"{where}: several tiers are named {wanted!r}; rename all but one")
        return wanted
    matching: list[str] = [name for name in grid.tierNames if _kind(name) in known]
    if len(matching) <= 1:
        return "".join(matching)
    own = [name for name in matching if name.rpartition(" - ")[0] == speaker]
    if len(own) > 1:
        raise InputError(
            f"{where}: several tiers of {known[0]} (tiers: {tiers}); name one in the columns word_tier and"
            " phone_tier"
        )
    if not own:
        raise InputError(
            f"{where}: several tiers of {known[0]} (tiers: {tiers}), none of speaker {speaker!r};"
            " name one in the columns word_tier and phone_tier"
        )
    return own[0]


def _rows(grid: textgrid.Textgrid, where: str, name: str) -> list[Row]:
    tier = grid.getTier(name)
    if not isinstance(tier, textgrid.IntervalTier):
        raise InputError(f"{where}: tier {name!r} holds points, not intervals; export intervals")
    rows = [(float(start), float(end), str(label)) for start, end, label in tier.entries]
    # Intervals of a TextGrid follow each other to its very end; praatio is silent about a truncated file.
    if (reached := rows[-1][1] if rows else 0.0) < tier.maxTimestamp - SLACK:
        raise InputError(
            f"{where}: tier {name!r} stops at {reached:.3f} of {tier.maxTimestamp:.3f} s, so the file"
            " was cut off; export it again"
        )
    return rows


def shift(rows: Iterable[Row], start: float, end: float) -> list[Row]:
    """Labels from `start` to `end` (seconds), relative to `start`; one across a bound is in by its middle."""
    return [
        (max(first - start, 0.0), min(last, end) - start, label)
        for first, last, label in rows
        if not (
            (first + last) / 2 < start or (first + last) / 2 > end
        )  # impossible times stay, to be refused
    ]


def split_ctm(text: str) -> dict[str, list[tuple[int, str]]]:
    """Split a CTM file by clip: the first field of a line -> its numbered lines; comments are left out."""
    clips: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith(";;"):
            clips[line.split()[0]].append((number, line))
    return dict(clips)


def parse_ctm(lines: Iterable[tuple[int, str]], where: str, channel: int | None = None) -> list[Row]:
    """Parse the numbered lines of one clip: `clip channel start duration label [confidence]`, in seconds.

    Kaldi's word-position suffixes (`AH0_B`) are taken off.

    Raises
    ------
    InputError
        Naming the line that does not have this form; or if there are several channels and none is chosen, or
        none of the lines is of the chosen one.
    """
    rows: dict[str, list[Row]] = defaultdict(list)
    for number, line in lines:
        try:
            _, side, start, duration, label, *_ = line.split()
            label = re.sub(r"_[BIES]$", "", label)
            rows[side].append((float(start), float(start) + float(duration), label))
        except ValueError as error:
            raise InputError(
                f"{where}:{number}: expected 'clip channel start duration label', got {line!r}"
            ) from error
    if channel is None and len(rows) <= 1:
        return next(iter(rows.values()), [])
    sides = ", ".join(sorted(rows))
    if channel is None:
        raise InputError(
            f"{where}: channels {sides} of one clip are two recordings; name one in the column channel, and"
            " write a line for each"
        )
    for side, own in rows.items():
        if channel_number(side) == channel:
            return own
    raise InputError(f"{where}: no line of channel {channel} (channels: {sides}); correct the column channel")


def channel_number(name: str) -> int | None:
    """A channel counted from 1, of `1`, `2`, or `A`, `B`, or `left`, `right`; None for another name."""
    if (plain := name.lower()) in _SIDES:
        return _SIDES[plain]
    if name.isdecimal():
        return int(name)
    return ord(name.upper()) - ord("A") + 1 if len(name) == 1 and name.isascii() and name.isalpha() else None
