"""Read word and phone times from TextGrids (Praat, MFA) and CTM files (NIST, Kaldi)."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from praatio import textgrid
from praatio.utilities.errors import PraatioException

from innerear.data.clips import SLACK, Row
from innerear.util.errors import InputError

PHONE_TIERS = ("phones", "phone", "phn")
WORD_TIERS = ("words", "word", "wrd")
"""Names of tiers in any case, alone or after a speaker: `Ann - words`, as MFA writes them."""


def read_textgrid(
    path: Path, where: str, speaker: str = "", word_tier: str = "", phone_tier: str = ""
) -> tuple[list[Row], list[Row]]:
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
    tuple
        Words and phones as (start, end, label) in seconds; a kind without a tier is empty.

    Raises
    ------
    InputError
        If the file is missing or no TextGrid, if a requested tier is absent, if there are neither
        words nor phones, or if several tiers could be meant.
    """
    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="silence")
    except FileNotFoundError as error:
        raise InputError(f"{where}: no such TextGrid; correct the path") from error
    # What praatio raises on a damaged file depends on where its parser stumbles.
    except (PraatioException, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{where}: cannot be read as a TextGrid ({reason}); export it again") from error
    words = _tier(grid, where, speaker, WORD_TIERS, word_tier)
    phones = _tier(grid, where, speaker, PHONE_TIERS, phone_tier)
    if words is None and phones is None:
        raise InputError(
            f"{where}: no tier named 'words' or 'phones' (tiers: {', '.join(grid.tierNames)});"
            " name them in the columns word_tier and phone_tier"
        )
    return words or [], phones or []


def _tier(
    grid: textgrid.Textgrid, where: str, speaker: str, known: tuple[str, ...], wanted: str
) -> list[Row] | None:
    tiers = ", ".join(grid.tierNames)
    if wanted and wanted not in grid.tierNames:
        raise InputError(f"{where}: no tier {wanted!r} (tiers: {tiers}); correct the column")
    # "Ann - phones" is matched by what follows the last " - ".
    matching = [name for name in grid.tierNames if name.lower().rpartition(" - ")[2].strip() in known]
    if len(matching) > 1:
        matching = [name for name in matching if name.rpartition(" - ")[0] == speaker]
    if wanted:
        matching = [wanted]
    elif not matching and any(name.lower().rpartition(" - ")[2].strip() in known for name in grid.tierNames):
        raise InputError(
            f"{where}: several tiers of {known[0]} (tiers: {tiers}), none of speaker {speaker!r};"
            " name one in the columns word_tier and phone_tier"
        )
    if not matching:
        return None
    tier = grid.getTier(matching[0])
    if not isinstance(tier, textgrid.IntervalTier):
        raise InputError(f"{where}: tier {matching[0]!r} holds points, not intervals; export intervals")
    rows = [(float(start), float(end), str(label)) for start, end, label in tier.entries]
    # Intervals of a TextGrid follow each other to its very end; praatio is silent about a truncated file.
    if (reached := rows[-1][1] if rows else 0.0) < tier.maxTimestamp - SLACK:
        raise InputError(
            f"{where}: tier {matching[0]!r} stops at {reached:.3f} of {tier.maxTimestamp:.3f} s, so the file"
            " was cut off; export it again"
        )
    return rows


def split_ctm(text: str) -> dict[str, list[tuple[int, str]]]:
    """Split a CTM file by clip: the first field of a line -> its numbered lines; comments are left out."""
    clips: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith(";;"):
            clips[line.split()[0]].append((number, line))
    return dict(clips)


def parse_ctm(lines: Iterable[tuple[int, str]], where: str) -> list[Row]:
    """Parse the numbered lines of one clip: `clip channel start duration label [confidence]`, in seconds.

    Kaldi's word-position suffixes (`AH0_B`) are taken off.

    Raises
    ------
    InputError
        Naming the line that does not have this form.
    """
    rows = []
    for number, line in lines:
        try:
            _, _, start, duration, label, *_ = line.split()
            rows.append((float(start), float(start) + float(duration), re.sub(r"_[BIES]$", "", label)))
        except ValueError as error:
            raise InputError(
                f"{where}:{number}: expected 'clip channel start duration label', got {line!r}"
            ) from error
    return rows
