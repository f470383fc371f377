"""Other sets of phone labels in the 39 classes: IPA (the Montreal Forced Aligner's) and SAMPA (WebMAUS's).

Labels of several sets look alike (`D` is one phone in ARPAbet and another in SAMPA), so the set is decided by
all labels of a corpus together. The table of IPA was checked against the words that MFA's English
dictionaries (v3) share with the CMU Pronouncing Dictionary. Allophones fold as TIMIT's do: the flap is a /t/,
a syllabic consonant the consonant, and the glottal stop is not scored. British centring diphthongs go by
their first vowel.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from innerear.data.phones import CLOSURES, SILENCE, fold, is_noise, timit_segments
from innerear.util.errors import InputError

Row = tuple[float, float, str]
PHONE_SETS = ("arpabet", "ipa", "sampa")
"""The sets by name; `arpabet` includes TIMIT's 61 labels."""


def _table(**classes: str) -> dict[str, str]:
    return {
        symbol: SILENCE if name == "silence" else name
        for name, text in classes.items()
        for symbol in text.split()
    }


IPA = _table(
    aa="ɑ ɑː ɒ", ae="æ æː a aː", ah="ɐ ə ʌ", ao="ɔ ɔː ɒː", aw="aw aʊ", ay="aj aɪ", eh="ɛ ɛː eə ɛə",
    er="ɚ ɚː ɝ ɝː ɜ ɜː ə˞ ɜ˞ ɹ̩", ey="e eː ej eɪ", ih="ɪ ɨ ᵻ ɪə", iy="i iː", ow="o oː ow oʊ əw əʊ", oy="ɔj ɔɪ",
    uh="ʊ ʊə", uw="u uː ʉ ʉː",
    b="b bʲ", ch="tʃ ʧ", d="d dʲ ɖ", dh="ð d̪", f="f fʲ fʷ ɸ", g="ɡ g ɡʷ ɡb ɟ ɟʷ", hh="h ç ɦ", jh="dʒ ʤ",
    k="k kʰ kʷ kp c cʰ cʷ x", l="l ɫ ɫ̩ l̩ ʎ", m="m mʲ m̩ ɱ", n="n n̩ ɲ ɾ̃", ng="ŋ ŋ̩",
    p="p pʰ pʲ pʷ", r="ɹ r ɻ ʁ", s="s sʲ", sh="ʃ", t="t tʰ tʲ tʷ ʈ ʈʲ ʈʷ ɾ ɾʲ", th="θ t̪",
    v="v vʲ vʷ ʋ", w="w ʍ", y="j", z="z zʲ", zh="ʒ", silence="ʔ",
)  # fmt: skip
"""IPA: all phones of MFA's English models and the usual broad transcriptions -> class."""

SAMPA = _table(
    aa="A: A Q 6:", ae="{ {: a", ah="@ V 6", ao="O: O o:", aw="aU {O", ay="aI Ae", eh="E E: e e: e@ E@",
    er="3: 3 3` @` @: 3\\ r=", ey="eI {I", ih="I I@ 1", iy="i: i", ow="@U oU o @}", oy="OI oI",
    uh="U U@", uw="u: u }: }",
    b="b", ch="tS", d="d", dh="D", f="f", g="g", hh="h C", jh="dZ", k="k x", l="l 5 l= =l", m="m m= =m F",
    n="n n= =n J", ng="N N=", p="p", r="r r\\", s="s", sh="S", t="t 4", th="T", v="v", w="w W", y="j",
    z="z", zh="Z", silence="?",
)  # fmt: skip
"""SAMPA and X-SAMPA of English, with WebMAUS's Australian vowels -> class."""

_DIALECTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    # American MFA writes ɒ in "thought", British in "lot"; broad British IPA writes e in "dress".
    "ipa": (("ɒ", "ɚ ɝ", "ao"), ("e", "!ɛ", "eh")),
    # American SAMPA may write e in "face", and then E in "dress"; the Australian one O in "lot".
    "sampa": (("e", "E", "ey"), ("O", "6:", "aa")),
}
"""Symbols whose class another symbol of the corpus decides: one that is there, or after ! one that is not."""

_STRESS = "ˈˌ'\"%"
_IPA_MARKS = "ːˑʰʷʲˠˤʼ˞"


def table(labels: AbstractSet[str], phone_set: str) -> dict[str, str]:
    """The class of each label that a set understands, where `labels` are all that the corpus has."""
    plain = {label: _plain(label) for label in labels}
    if phone_set == "arpabet":
        return {label: found for label, symbol in plain.items() if (found := _arpabet(symbol))}
    classes = dict({"ipa": IPA, "sampa": SAMPA}[phone_set])
    there = set(plain.values())
    for symbol, witnesses, name in _DIALECTS[phone_set]:
        seen = bool(there & set(witnesses.lstrip("!").split()))
        if seen != witnesses.startswith("!"):
            classes[symbol] = name
    return {
        label: found
        for label, symbol in plain.items()
        if (found := SILENCE if is_noise(symbol) else _symbol(symbol, classes, phone_set))
    }


def _plain(label: str) -> str:
    """A label without Kaldi's word position (`AH0_B`); one spelling of each IPA symbol."""
    return unicodedata.normalize("NFC", re.sub(r"_[BIES]$", "", label.strip()))


def _arpabet(symbol: str) -> str:
    try:
        return fold(symbol)
    except InputError:
        return ""


def _symbol(symbol: str, classes: Mapping[str, str], phone_set: str) -> str:
    """The class of a symbol, if need be without stress, ties and diacritics; empty if there is none."""
    symbol = symbol.lstrip(_STRESS)
    if symbol in classes:
        return classes[symbol]
    if phone_set == "sampa":
        return classes.get(re.sub(r"(_.)+$", "", symbol), "")  # diacritics of X-SAMPA: t_h
    untied = symbol.replace("\u0361", "").replace("\u035c", "")
    bare = "".join(
        mark
        for mark in unicodedata.normalize("NFD", untied)
        if mark not in _IPA_MARKS and not unicodedata.combining(mark)
    )
    return classes.get(untied) or classes.get(bare, "")


def decide(clips: Sequence[Collection[str]]) -> tuple[list[str], bool]:
    """The set of each clip's labels, and whether nothing decided between two that give other classes.

    It is the set that understands the labels; if several do, that of most clips, or ARPAbet. A clip that none
    understands gets the set of most clips, whose message then names the labels.
    """
    inventories = [frozenset(clip) for clip in clips]
    understood = [
        {name: found for name in PHONE_SETS if len(found := table(labels, name)) == len(labels)}
        for labels in inventories
    ]
    votes = Counter(next(iter(tables)) for tables in understood if len(tables) == 1)
    common = max(PHONE_SETS, key=lambda name: votes[name])  # the first of equals
    differ = any(
        len({tuple(sorted(found.items())) for found in tables.values()}) > 1 for tables in understood
    )
    sets = [common if common in tables or not tables else next(iter(tables)) for tables in understood]
    return sets, differ and not votes


def folded(rows: Iterable[Row], labels: AbstractSet[str], phone_set: str) -> list[Row]:
    """Rows with the classes of their labels, which a corpus has; closures of TIMIT join their bursts.

    Raises
    ------
    InputError
        Naming the labels that the set does not have.
    """
    rows = list(rows)
    classes = table(labels, phone_set)
    if unknown := sorted({label for _, _, label in rows if label not in classes}):
        raise InputError(
            f"unknown phone label{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown))} among labels read"
            f" as {phone_set}; use ARPAbet, TIMIT's 61, IPA or SAMPA of English, and say which in phone_set"
        )
    if phone_set == "arpabet" and any(label.lower() in CLOSURES for _, _, label in rows):
        return timit_segments((start, end, label.strip().lower()) for start, end, label in rows)
    return [(start, end, classes[label]) for start, end, label in rows]
