"""IPA and SAMPA in the 39 classes: each symbol, and how the set of a corpus is told from its labels."""

import pytest

from innerear.data.phone_sets import IPA, SAMPA, decide, folded, table
from innerear.data.phones import ARPABET, MANNER, SILENCE
from innerear.util.errors import InputError

MFA = """
a aj aw aː b bʲ c cʰ cʷ d dʒ dʲ d̪ e ej eː f fʲ fʷ h i iː j k kp kʰ kʷ l m mʲ m̩ n n̩ o ow oː p pʰ pʲ pʷ s t tʃ
tʰ tʲ tʷ t̪ u uː v vʲ vʷ w z æ ç ð ŋ ɐ ɑ ɑː ɒ ɒː ɔ ɔj ɖ ə əw ɚ ɛ ɛː ɜ ɜː ɝ ɟ ɟʷ ɡ ɡb ɡʷ ɪ ɫ ɫ̩ ɱ ɲ ɹ ɾ ɾʲ ɾ̃
ʃ ʈ ʈʲ ʈʷ ʉ ʉː ʊ ʋ ʎ ʒ ʔ θ spn sil
"""
"""The phones of MFA's English dictionaries, v2 and v3."""

WEBMAUS = """
p b t d k g f v T D s z S Z h m n N r l w j tS dZ x ? I e { Q V U @ i: A: O: u: 3: eI aI OI @U aU I@ e@ U@ i u
E 3` @` oU <p:> <usb> <nib>
"""
"""The phones of WebMAUS's eng-GB and eng-US."""


def classes(phones, phone_set, corpus=None):
    found = table(frozenset(corpus or phones), phone_set)
    return [found.get(label, "?") for label in phones]


@pytest.mark.parametrize(("inventory", "phone_set"), [(MFA, "ipa"), (WEBMAUS, "sampa")])
def test_every_phone_of_the_aligners_has_a_class_and_every_class_a_phone(inventory, phone_set):
    found = set(classes(inventory.split(), phone_set))
    assert found - {SILENCE} == set(ARPABET)


@pytest.mark.parametrize("symbols", [IPA, SAMPA])
def test_every_symbol_is_of_a_class(symbols):
    assert set(symbols.values()) <= {*ARPABET, SILENCE}


LETTERS = {
    "vowel": "ɑ ɒ æ a ɐ ə ʌ ɔ ɛ e ɚ ɝ ɜ ɪ ɨ ᵻ i o ʊ u ʉ A Q { V @ O E 3 I U } 6 1",
    "stop": "b d ɖ ɡ g ɟ k c p t ʈ ɾ 4",
    "fricative": "ð f ɸ h ç ɦ s ʃ θ v z ʒ x D C S T Z ʋ",
    "nasal": "m ɱ n ɲ ŋ N F J",
    "approximant": "l ɫ ʎ ɹ r ɻ ʁ w ʍ j W 5",
}
EXCEPTIONS = {"ɹ̩": "er", "r=": "er", "d̪": "dh", "t̪": "th", "ɾ̃": "n", "x": "k", "ʔ": SILENCE, "?": SILENCE}
"""Syllabic /r/, MFA's spelling of dental fricatives, the nasal flap, and "loch"."""


@pytest.mark.parametrize("symbols", [IPA, SAMPA])
def test_the_letter_of_every_symbol_is_of_the_manner_of_its_class(symbols):
    manner_of = {phone: manner for manner, phones in MANNER.items() for phone in phones}
    letters = {letter: manner for manner, group in LETTERS.items() for letter in group.split()}
    for symbol, name in symbols.items():
        if symbol in EXCEPTIONS:
            assert name == EXCEPTIONS[symbol]
        elif name in ("ch", "jh"):
            assert symbol in ("tʃ", "ʧ", "dʒ", "ʤ", "tS", "dZ")
        else:
            assert manner_of[name].replace("diphthong", "vowel") == letters[symbol.lstrip("=")[0]], symbol


@pytest.mark.parametrize(
    ("phones", "phone_set", "expected"),
    [
        ("ʃ i h æ d j ɚ d ɑ ɹ k s ʉː t", "ipa", "sh iy hh ae d y er d aa r k s uw t"),
        ("ð ə k w ɪ k b ɹ aw n f ɑ k s", "ipa", "dh ah k w ih k b r aw n f aa k s"),
        ("t͡ʃ ˈiː d͡ʒ ˌʌ r̥ ə˞ õ ŋ̍", "ipa", "ch iy jh ah r er ow ng"),
        ("tʰ d̪ t̪ ɾ ɾ̃ n̩ ɫ̩ ʔ", "ipa", "t dh th t n n l sil"),
        ("S i: h { d j O: d A: k s u: t", "sampa", "sh iy hh ae d y ao d aa k s uw t"),
        ("D @ k w I k b r aU n f Q k s", "sampa", "dh ah k w ih k b r aw n f aa k s"),
        ("T V m dZ 3` N r\\ 4 ? <p:> t_h", "sampa", "th ah m jh er ng r t sil sil t"),
        ("SH_B IY1_E AH0 spn h# q", "arpabet", "sh iy ah sil sil sil"),
    ],
)
def test_labels_fold_into_the_classes(phones, phone_set, expected):
    assert classes(phones.split(), phone_set) == expected.split()


def test_vowels_that_dialects_write_alike_are_told_by_the_rest_of_the_inventory():
    assert classes(["ɒ"], "ipa", {"ɒ", "ɚ"}) == ["ao"]
    assert classes(["ɒ"], "ipa", {"ɒ", "əw"}) == ["aa"]
    assert classes(["e"], "ipa", {"e", "ɛ"}) == ["ey"]
    assert classes(["e"], "ipa", {"e", "æ"}) == ["eh"]
    assert classes(["e"], "sampa", {"e", "E"}) == ["ey"]
    assert classes(["O"], "sampa", {"O", "6:"}) == ["aa"]


def test_a_set_is_told_by_all_clips_together():
    this, dot = ["D", "I", "s"], ["D", "Q", "t"]
    assert decide([this, dot, ["S", "T"]]) == (["sampa"] * 3, False)
    assert decide([["D", "IH1", "S"], ["T", "S"]]) == (["arpabet"] * 2, False)
    assert decide([["ð", "ɪ", "s"], ["s", "m"]]) == (["ipa"] * 2, False)
    assert decide([["ð", "ɪ", "s"], ["dh", "ih", "s"], ["ɛ"]])[0] == ["ipa", "arpabet", "ipa"]


def test_labels_that_could_be_of_two_sets_are_said_only_where_it_matters():
    assert decide([["D", "T"]]) == (["arpabet"], True)
    assert decide([["s", "m"], ["sil"]]) == (["arpabet"] * 2, False)


def test_labels_of_no_set_are_named():
    rows = [(0.0, 0.1, "a5"), (0.1, 0.2, "zh")]
    with pytest.raises(InputError, match="unknown phone label 'a5' among labels read as arpabet"):
        folded(rows, {"a5", "zh"}, "arpabet")


def test_closures_of_timit_join_their_bursts_in_any_case():
    rows = [(0.0, 0.1, "TCL"), (0.1, 0.2, "T"), (0.2, 0.3, "IY")]
    assert folded(rows, {"TCL", "T", "IY"}, "arpabet") == [(0.0, 0.2, "t"), (0.2, 0.3, "iy")]
