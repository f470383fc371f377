"""Noise at the stated ratio, the same every time, and named in the item."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_item, noise

from innerear.data.noise import NoiseRule, add_noise
from innerear.data.schema import Corpus

RULE = NoiseRule(snr=(20, 0), kinds=("white", "pink", "babble"))


def corpus(speakers=6):
    clips = tuple(make_item(f"c{at}", 0.3 * noise(1.0, at), speaker=f"s{at}") for at in range(speakers))
    return Corpus("test", "1", clips, "made", "none")


def test_each_clip_is_there_clean_and_at_each_ratio():
    noisy = add_noise(corpus(), RULE)
    assert [item.id for item in noisy][:3] == ["c0", "c0@20dB", "c0@0dB"]
    assert [item.condition for item in noisy][:3] == ["clean", "20 dB", "0 dB"]
    assert {dict(item.extra)["noise"] for item in noisy} == {"none", "white", "pink", "babble"}
    assert len({item.audio_sha256 for item in noisy}) == len(noisy)


@pytest.mark.parametrize("at", range(3))
def test_the_ratio_is_the_stated_one(at):
    noisy = add_noise(corpus(), RULE).items[3 * at : 3 * at + 3]
    clean = noisy[0].audio().astype(float)
    for item, snr in ((noisy[1], 20), (noisy[2], 0)):
        added = item.audio() - clean
        ratio = 10 * np.log10(np.square(clean).mean() / np.square(added).mean())
        assert ratio == pytest.approx(snr, abs=0.1)


def test_the_noise_is_the_same_every_time():
    first, second = (add_noise(corpus(), RULE) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.audio(), other.audio())


def test_loud_noise_does_not_clip():
    loud = make_item("loud", (8 * noise(1.0)).clip(-0.99, 0.99), speaker="s")
    made = add_noise(Corpus("test", "1", (loud,), "made", "none"), NoiseRule(snr=(-10,), kinds=("white",)))
    assert np.abs(made.items[1].audio()).max() <= 1


@pytest.mark.parametrize("speakers", [1, 3, 4])
def test_babble_of_too_few_speakers_is_left_out_and_said(speakers):
    noisy = add_noise(corpus(speakers), RULE)
    babbled = [at for at in range(speakers) if at % 3 == 2]
    assert [name for name, _ in noisy.refused] == [f"c{at}@{snr}dB" for at in babbled for snr in (20, 0)]
    assert all(f"4 other speakers, and {speakers - 1} are known" in reason for _, reason in noisy.refused)
    assert len(noisy) == 3 * speakers - len(noisy.refused)


def test_an_unknown_voice_is_in_no_babble_and_gets_none():
    nameless = corpus(6).with_items(replace(item, speaker="") for item in corpus(6))
    assert {name for name, _ in add_noise(nameless, RULE).refused} == {
        f"c{at}@{snr}dB" for at in (2, 5) for snr in (20, 0)
    }
