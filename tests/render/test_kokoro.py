"""From the synthesiser's alphabet to ARPAbet phones with times. Nothing is synthesised here."""

from itertools import pairwise

import numpy as np
import pytest

from innerear.data.phones import ARPABET
from innerear.render.kokoro import RATE, STEP, _label, phones_of
from innerear.render.speech import readings
from innerear.util.errors import InputError


@pytest.mark.parametrize(
    ("symbols", "phones"),
    [
        ("dəsˈɪʒᵊn", "d ah s ih zh ah n"),  # stress marks are no phones
        ("bˈɜɹd", "b er d"),  # an r-coloured vowel is one phone
        ("ˈʌndəɹ", "ah n d er"),
        ("bˈɜːd", "b er d"),  # the British vowel of nurse
        ("tˈiːʧə", "t iy ch ah"),  # no /r/ where none is said
        ("kjˈʊəɹɪəs", "k y uh ah r ih ah s"),  # the /r/ after a centring diphthong is its own
        ("lˈɒŋ", "l aa ng"),
        ("fˈɑːst", "f aa s t"),
        ("nˈQ", "n ow"),
        ("nˈO", "n ow"),
        ("bˈʌTəɹ", "b ah t er"),  # a flap is a /t/
        ("bˈɛɾɪ", "b eh t ih"),
        ("hˈɪɹ", "hh ih r"),  # no schwa, so no ER
        ("ʤˈʌʤᵻz", "jh ah jh ih z"),
        ("vYs", "v oy s"),
    ],
)
def test_each_accent_is_mapped_as_it_speaks(symbols, phones):
    assert " ".join(label for label, _, _ in phones_of(symbols)) == phones


@pytest.mark.parametrize("symbols", ["dəsˈɪʒᵊn", "bˈɜːd", "ˈʌndəɹ", "kjˈʊəɹɪəs"])
def test_phones_cover_all_symbols_in_order(symbols):
    spans = [(first, last) for _, first, last in phones_of(symbols)]
    assert spans[0][0] == 0
    assert spans[-1][1] == len(symbols)
    assert all(before[1] == after[0] for before, after in pairwise(spans))


def test_a_symbol_without_a_phone_is_named():
    with pytest.raises(InputError, match="no ARPAbet phone for Kokoro's 'x'"):
        phones_of("lˈɒx")


def _labelled(text, symbols):
    edges = np.arange(len(symbols) + 1) * STEP
    audio = np.ones(int(edges[-1] * RATE), np.float32)
    return _label(text, symbols, edges, audio)


def test_a_space_is_shared_by_the_phones_on_either_side():
    words, phones = _labelled("A dog", "ə dˈɒɡ")
    assert [(word.label, word.start, word.end) for word in words] == [
        ("a", 0.0, 1.5 * STEP),
        ("dog", 1.5 * STEP, 6 * STEP),
    ]
    assert phones[0].end == phones[1].start == 1.5 * STEP


def test_a_pause_belongs_to_no_phone():
    words, phones = _labelled("No, no.", "nˈO, nˈO.")
    assert [phone.label for phone in phones] == ["n", "ow", "n", "ow"]
    assert words[0].end == 3 * STEP
    assert words[1].start == 5 * STEP


def test_a_last_phone_ends_with_its_sound():
    symbols, edges = "ˈO.", np.array([0.0, 0.025, 0.6, 0.7])
    audio = np.zeros(int(0.7 * RATE), np.float32)
    audio[: int(0.2 * RATE)] = 0.5
    audio[int(0.2 * RATE) :] = 0.05  # breath, 20 dB below
    _, phones = _label("Oh.", symbols, edges, audio)
    assert phones[0].end == pytest.approx(0.2)


def test_words_and_pronunciations_must_pair_up():
    with pytest.raises(InputError, match="2 words but 1 pronunciations"):
        _labelled("ice cream", "ˈIskɹim")


def test_every_sentence_is_read_once_in_a_fixed_order():
    voices = [f"voice{number}" for number in range(28)]
    script = readings(voices)
    assert len({reading.id for reading in script}) == len(script) == 28 * 20
    assert script == readings(voices)
    with pytest.raises(InputError, match="28 groups for 3 voices"):
        readings(voices[:3])


def test_the_map_reaches_every_class():
    from innerear.render.kokoro import ARPABET_OF

    assert set(ARPABET_OF.values()) == set(ARPABET)
