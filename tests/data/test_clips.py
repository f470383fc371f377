"""What is refused before decoding, and how labels are brought inside their clip."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from innerear.data.clips import SLACK, gender, make_item, phone_segments, word_segments
from innerear.data.recordings import inspect
from innerear.data.schema import Segment
from innerear.util.errors import InputError


def wav(samples=None, rate=16_000, subtype="PCM_16"):
    samples = np.random.default_rng(0).normal(0, 0.1, 8000) if samples is None else samples
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return bytearray(buffer.getvalue())


def test_a_rate_of_zero_is_refused():
    data = wav()
    struct.pack_into("<I", data, 24, 0)
    with pytest.raises(InputError, match=r"^a\.wav: "):
        inspect(bytes(data), "a.wav")


def test_nan_is_found_on_decoding():
    item = make_item(lambda: bytes(wav(np.full(8000, np.nan), subtype="FLOAT")), "a.wav", id="a", text="x")
    with pytest.raises(InputError, match=r"^a\.wav: the audio holds NaN"):
        item.audio()


def test_audio_that_is_gone_by_the_time_it_is_needed_is_one_line(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav())
    item = make_item((tmp_path / "a.wav").read_bytes, "a.wav", id="a", text="x")
    assert item.duration == 0.5
    (tmp_path / "a.wav").unlink()
    with pytest.raises(InputError, match=r"^a\.wav: cannot read the audio \(No such file"):
        item.audio()


def test_sizes_that_streams_and_careless_writers_state_are_accepted():
    for stated in (0, 0xFFFFFFFF, len(wav())):
        data = wav()
        struct.pack_into("<I", data, 4, stated)
        assert inspect(bytes(data), "a.wav").seconds == 0.5


def test_only_a_clip_without_speech_has_an_empty_transcript():
    read = lambda: bytes(wav())  # noqa: E731
    assert make_item(read, "a.wav", id="a", text=" ", speech=False).text == ""
    with pytest.raises(InputError, match=r"^a\.wav: the transcript is empty"):
        make_item(read, "a.wav", id="a", text=" ")
    with pytest.raises(InputError, match=r'^a\.wav: "speech" is false, but there is a transcript'):
        make_item(read, "a.wav", id="a", text="x", speech=False)


@pytest.mark.parametrize(
    ("label", "spelt"), [("F", "female"), ("male", "male"), ("non-binary ", "non-binary")]
)
def test_genders_are_spelt_alike(label, spelt):
    assert gender(label) == spelt


def test_what_an_aligner_rounded_is_brought_inside_the_clip():
    rows = [(0.0, 0.11, "SH"), (0.1, 0.3, "IY1"), (0.3, 0.51, "sp")]
    assert phone_segments(rows, 0.5, "x") == (
        Segment("sh", 0.0, 0.11), Segment("iy", 0.11, 0.3), Segment("sil", 0.3, 0.5)
    )  # fmt: skip
    assert word_segments([(0.0, 0.51, "she"), (0.2, 0.3, "<eps>")], 0.5, "x") == (Segment("she", 0.0, 0.5),)


def segments_or_none(rows, duration):
    try:
        return phone_segments(rows, duration, "x")
    except InputError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        return None


times = st.floats(-1, 3) | st.sampled_from([float("nan"), float("inf")])


@given(st.lists(st.tuples(times, times, st.sampled_from(["SH", "iy1", "sil", "?"])), max_size=6))
def test_phones_that_pass_are_in_order_and_inside_the_clip(rows):
    phones = segments_or_none(rows, 2.0)
    for phone in phones or ():
        assert 0 <= phone.start < phone.end <= 2.0
    for first, second in zip(phones or (), (phones or ())[1:], strict=False):
        assert first.end <= second.start


@given(st.lists(st.floats(0.01, 0.3), min_size=1, max_size=6), st.floats(0, SLACK))
def test_phones_that_follow_each_other_pass_even_when_rounded(lengths, slack):
    ends = np.cumsum(lengths).tolist()
    rows = [(start, end, "SH") for start, end in zip([0.0, *ends], ends, strict=False)]
    phones = segments_or_none(rows, ends[-1] - min(slack, 0.009))
    assert [phone.label for phone in phones or ()] == ["sh"] * len(rows)


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_silence_is_refused_where_words_are_said_and_only_there(level):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(8000, level), 16_000, format="WAV")
    for text, speech in (("x", True), ("", False)):
        item = make_item(buffer.getvalue, "a.wav", id="a", text=text, speech=speech)
        if not speech:
            assert item.audio().shape == (8000,)
            continue
        with pytest.raises(InputError, match=r"^a\.wav: silence, but the transcript has words; restore"):
            item.audio()


def test_a_channel_that_is_the_opposite_of_the_other_is_not_heard_as_silence(tmp_path):
    tone = np.sin(np.arange(8000) * 0.1)
    soundfile.write(tmp_path / "a.wav", np.stack([tone, -tone], axis=1), 16_000)
    item = make_item((tmp_path / "a.wav").read_bytes, "a.wav", id="a", text="x")
    with pytest.raises(InputError, match="are its channels opposite"):
        item.audio()
