"""Transcripts of clips longer than the window: what `transformers` writes, and each frame exactly once."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import noise, tiny_model
from transformers import GenerationConfig, WhisperFeatureExtractor

from innerear.data.playback import Playback
from innerear.data.schema import SAMPLING_RATE
from innerear.models.base import Transcript
from innerear.models.encoder_decoder import whole_segments
from innerear.util.errors import InputError

NO_TIMES = 58
FIRST = NO_TIMES + 1


def timed_whisper(seed=0, words=9):
    """A tiny Whisper that has timestamps, and writes `words` more often the larger that is."""
    model = tiny_model("whisper", vocab_size=FIRST + 1501, seed=seed)
    decoder = model.network.model.decoder
    decoder.embed_tokens.weight.data[9:57] *= words
    decoder.embed_positions.weight.data *= 20  # else it writes one token for ever
    start = model.prefix[0]
    model.generation = replace(
        model.generation,
        prefix=(start, NO_TIMES),
        no_speech=NO_TIMES - 1,
        suppress=(7, 8),
        begin_suppress=(3,),
    )
    return model


def played(audio, size=100_000):
    return Playback(iter(np.split(audio, range(size, len(audio), size))))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([FIRST, 5, 6], (3, 0)),  # nothing ends: all of it is one segment
        ([FIRST, 5, 6, FIRST + 90], (4, 0)),  # one segment, and silence behind it
        ([FIRST, 5, FIRST + 40, FIRST + 40, 6], (3, 40)),  # the second segment is cut off
        ([FIRST, 5, FIRST + 40, FIRST + 45, 6, FIRST + 80], (6, 0)),
        ([FIRST, 5, FIRST + 40, FIRST + 41, 6, FIRST + 80, FIRST + 80], (6, 80)),
        ([], (0, 0)),
    ],
)
def test_a_window_is_complete_up_to_the_end_of_its_last_whole_segment(tokens, expected):
    assert whole_segments(tokens, FIRST) == expected


@pytest.mark.parametrize(("seed", "words"), [(2, 7), (2, 9), (0, 14), (1, 14)])
def test_whisper_writes_what_transformers_writes_of_a_long_clip(seed, words):
    model, audio = timed_whisper(seed, words), noise(80.0, seed)
    audio *= np.linspace(0.2, 1, len(audio), dtype=np.float32)
    features = WhisperFeatureExtractor()(
        audio, sampling_rate=SAMPLING_RATE, return_tensors="pt", truncation=False, padding="longest",
        return_attention_mask=True,
    )  # fmt: skip
    network = model.network
    own, network.generation_config = network.generation_config, GenerationConfig(
        no_timestamps_token_id=NO_TIMES, max_initial_timestamp_index=50, is_multilingual=False,
        decoder_start_token_id=model.prefix[0], eos_token_id=3, pad_token_id=3, suppress_tokens=[7, 8],
        begin_suppress_tokens=[3], max_new_tokens=model.max_tokens, return_timestamps=True,
    )  # fmt: skip
    bare = network.generate(**features, return_timestamps=True, return_segments=True)
    network.generation_config = own
    segments = bare["segments"][0]
    expected = [
        int(token) for each in segments for token in each["tokens"] if token < NO_TIMES and token != 3
    ]
    written = model.transcribe_long(played(audio))
    same = 2 * len(expected) // 3  # `transformers` fills up the last window with zeros, not with silence
    assert len(set(expected)) > 1
    assert list(written.tokens[:same]) == expected[:same]
    assert len(written.log_probs) == len(written.tokens)
    assert written.text == " ".join(map(str, written.tokens))


def test_pieces_of_any_length_give_one_transcript():
    model, audio = timed_whisper(), noise(45.0)
    assert model.transcribe_long(played(audio)) == model.transcribe_long(played(audio, 7_777))


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_a_decoder_that_writes_no_times_has_no_long_form(family):
    model = tiny_model(family)
    assert model.long_form == ""
    with pytest.raises(InputError, match="cannot transcribe clips that are longer than its window"):
        model.transcribe_long(played(noise(45.0)))


@pytest.mark.parametrize("seconds", [3.0, 12.0, 12.01, 16.0, 16.02, 31.7, 40.0])
@pytest.mark.parametrize("family", ["wav2vec2", "hubert"])
def test_of_overlapping_windows_every_frame_is_written_once_and_heard_with_context(family, seconds):
    model = tiny_model(family)
    model.window = 12.0
    clock, samples = model.clock, int(seconds * SAMPLING_RATE)
    heard = []

    def transcribe(audio):
        """Writes at each frame the sample at its centre, which is its number."""
        (clip,) = audio
        centres = [int(clock.first + clock.stride * at) for at in range(clock.count(len(clip)))]
        tokens = tuple(round(float(clip[at])) for at in centres)
        heard.append((int(clip[0]), int(clip[-1])))
        return [Transcript("", tokens, (-0.1,) * len(tokens), frames=tuple(range(len(tokens))))]

    model.transcribe, model.spelt = transcribe, lambda tokens: " ".join(map(str, tokens))
    written = model.transcribe_long(played(np.arange(samples, dtype=np.float32), 5000))
    expected = [int(clock.first + clock.stride * at) for at in range(clock.count(samples))]
    assert list(written.tokens) == expected
    assert list(written.frames) == list(range(len(expected)))
    context = 4 * SAMPLING_RATE - clock.stride
    for token in expected:
        assert any(
            (low <= token - context or low == 0) and (token + context <= high or high == samples - 1)
            for low, high in heard
        )


def test_a_clip_within_the_window_is_written_as_ever():
    model = tiny_model("wav2vec2")
    assert model.transcribe_long(played(noise(5.0))) == model.transcribe([noise(5.0)])[0]


def test_it_is_stated_in_words():
    assert tiny_model("wav2vec2").long_form == (
        "windows of 40 s every 32 s, of each the tokens that it emits at least 4 s from its edges"
    )
    assert timed_whisper().long_form.startswith("windows of 30 s that begin where the last whole segment")
    adapted = tiny_model("wav2vec2")
    adapted.adapted = True
    assert adapted.long_form == ""
