"""The comparison of phone times sees a planted shift, and the card prints what it found."""

from dataclasses import replace

import numpy as np
import pytest

from innerear.data.embedded import load
from innerear.data.schema import Corpus, Segment
from innerear.render.phone_times import compare_onsets
from innerear.render.speech_card import card

_CALIBRATION = {
    "late_s": 0.052,
    "phones": 1000,
    "clips": 50,
    "sibilant_check": {"late_s": 0.055, "n": 30},
}


def _shifted(segments: tuple[Segment, ...], by: float) -> tuple[Segment, ...]:
    return tuple(Segment(segment.label, segment.start + by, segment.end + by) for segment in segments)


@pytest.fixture(scope="module")
def few() -> Corpus:
    corpus = load("innerear-speech")
    kept = [item for item in corpus if item.speaker in ("af_heart", "bm_george") and item.id.endswith("-03")]
    return corpus.with_items(kept)


def test_a_shift_of_all_labels_shows_as_a_shift(few):
    late = few.with_items(
        replace(item, words=_shifted(item.words, 0.03), phones=_shifted(item.phones, 0.03)) for item in few
    )
    before, skipped = compare_onsets(few)
    after, _ = compare_onsets(late)
    assert skipped == ()
    assert len(before) == sum(len(item.phones) for item in few)
    assert np.allclose(after["difference"] - before["difference"], 0.03)


def test_a_clip_that_cannot_be_aligned_is_reported(few):
    broken = replace(few.items[0], id="mute", audio=lambda: np.zeros(16_000, np.float32))
    differences, skipped = compare_onsets(few.with_items((broken, *few.items[1:])))
    assert skipped == ("mute",)
    assert len(differences) == sum(len(item.phones) for item in few.items[1:])


def test_the_card_counts_what_is_there(few):
    text = card(few, _CALIBRATION)
    assert "4 clips" in text
    assert "in 2 voices" in text
    assert "52 ms" in text
    assert "every clip was aligned" in text
    sibilants = sum(phone.label == "s" for item in few for phone in item.phones)
    assert f"| s | {sibilants} |" in text
    assert "| bm_george | british | male |" in text
