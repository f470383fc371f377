"""The 39 ARPAbet classes that phone tasks score, and the folds of other label sets into them.

The classes are those of the CMU Pronouncing Dictionary without stress. TIMIT's 61 labels fold into them
phonemically: a closure joins the burst that follows it (`timit_segments`), the flap is a /t/, and silence,
pauses and the glottal stop are not scored. Unlike Lee & Hon's (1989) 39 classes, this keeps /ao/ from /aa/
and /zh/ from /sh/, so that dictionaries, forced aligners and hand labels share one set.
"""

import re
from collections.abc import Iterable

from innerear.util.errors import InputError

MANNER: dict[str, tuple[str, ...]] = {
    "vowel": ("aa", "ae", "ah", "ao", "eh", "er", "ih", "iy", "uh", "uw"),
    "diphthong": ("aw", "ay", "ey", "ow", "oy"),
    "stop": ("b", "d", "g", "k", "p", "t"),
    "affricate": ("ch", "jh"),
    "fricative": ("dh", "f", "hh", "s", "sh", "th", "v", "z", "zh"),
    "nasal": ("m", "n", "ng"),
    "approximant": ("l", "r", "w", "y"),
}
"""Manner of articulation of each class, for confusion tables."""

ARPABET: tuple[str, ...] = tuple(sorted(phone for group in MANNER.values() for phone in group))
"""The 39 classes, in the order of their indices."""

SILENCE = "sil"
"""The class of pauses, noises and silence; never scored."""

_PAUSES = frozenset({"", "sil", "sp", "spn", "nsn", "ssil"})
_NOISES = frozenset(
    {
        "pau",
        "epi",
        "h#",
        "#",
        "_",
        "-",
        "noise",
        "laugh",
        "breath",
        "silence",
        "pause",
        "lau",
        "ns",
        "oov",
        "unk",
    }
)
_BRACKETED = re.compile(r"<.*>|\[.*\]|\{.+\}|\+.*\+")


def is_noise(label: str, word: bool = False) -> bool:
    """Whether a label marks silence, noise or speech that was not written down (`spn`, `<unk>`, `[laugh]`).

    Labels of phones may be spelt as words are (`noise`), so `word` says which of the two it is.
    """
    plain = label.strip().lower()
    return plain in _PAUSES or bool(_BRACKETED.fullmatch(plain)) or (not word and plain in _NOISES)


_FOLD = {
    "ax": "ah", "ax-h": "ah", "axr": "er", "ix": "ih", "ux": "uw", "hv": "hh", "dx": "t", "nx": "n",
    "wh": "w", "el": "l", "em": "m", "en": "n", "eng": "ng",
    "bcl": "b", "dcl": "d", "gcl": "g", "kcl": "k", "pcl": "p", "tcl": "t",
}  # fmt: skip

_BURSTS = {"bcl": "b", "dcl": "d jh", "gcl": "g", "kcl": "k", "pcl": "p", "tcl": "t ch"}
CLOSURES = frozenset(_BURSTS)
"""Labels of TIMIT for the silence of a stop before its burst."""


def fold(label: str) -> str:
    """Fold an ARPAbet or TIMIT label, in any case and with or without stress, into the 39 classes.

    Returns
    -------
    str
        One of `ARPABET`, or `SILENCE`.

    Raises
    ------
    InputError
        If the label is in none of the known sets.
    """
    plain = re.sub(r"[012]$", "", label.strip().lower())
    if is_noise(plain) or plain == "q":  # the glottal stop
        return SILENCE
    folded = _FOLD.get(plain, plain)
    if folded not in ARPABET:
        raise InputError(
            f"unknown phone label {label!r}; use ARPAbet (with or without stress) or TIMIT's 61 labels"
        )
    return folded


def timit_segments(segments: Iterable[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Fold TIMIT's (start, end, label) segments, joining each closure with its own burst.

    Silences are kept as `SILENCE`; a closure without a burst is the unreleased stop itself.
    """
    folded: list[tuple[float, float, str]] = []
    closure: tuple[float, float, str] | None = None
    for start, end, label in segments:
        if closure is not None and label in _BURSTS[closure[2]].split():
            start = closure[0]
        elif closure is not None:
            folded.append((closure[0], closure[1], fold(closure[2])))
        closure = (start, end, label) if label in _BURSTS else None
        if closure is None:
            folded.append((start, end, fold(label)))
    if closure is not None:
        folded.append((closure[0], closure[1], fold(closure[2])))
    return folded
