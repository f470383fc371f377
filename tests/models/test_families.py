"""The contract, on tiny random models of every family, and how little a row of the table of families says."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FAMILIES, noise, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationMixin
from transformers.models.auto import modeling_auto

from innerear.models.families import FAMILIES as ROWS
from innerear.models.families import UNSUPPORTED
from innerear.models.frames import WHISPER, FrameClock
from innerear.util.errors import InputError

SECONDS = 1.3
TOP = Path(__file__).parents[2]
MODELS = TOP / "innerear" / "models"


def rows():
    """The lines of each row of the tables of families, by `model_type`."""
    found = {}
    for path in sorted(MODELS.glob("*families.py")):
        text = path.read_text()
        for table in ast.walk(ast.parse(text)):
            if not isinstance(table, ast.AnnAssign) or "Family]" not in ast.unparse(table.annotation):
                continue
            for key, value in zip(
                *(getattr(table.value, each, ()) for each in ("keys", "values")), strict=True
            ):
                if key:  # else it is a table within the table
                    lines = text.splitlines()[key.lineno - 1 : value.end_lineno]
                    found[ast.literal_eval(key)] = "\n".join(lines)
    return found


def test_a_family_of_a_known_kind_is_at_most_15_lines_and_a_kind_at_most_250():
    known = rows()
    assert known.keys() == ROWS.keys()
    assert {name: row for name, row in known.items() if len(row.splitlines()) > 15} == {}
    kinds = ("encoder_decoder", "ctc", "transducer", "audio_lm")
    long = {kind for kind in kinds if len((MODELS / f"{kind}.py").read_text().splitlines()) > 250}
    assert not long


def test_the_row_that_the_documents_show_is_a_row():
    shown = (TOP / "docs" / "architecture.md").read_text().split("```python\n")[1].split("```")[0]
    assert shown.rstrip() == rows()["speech_to_text"]


def test_states_have_a_frame_for_each_time(model):
    clip = noise(SECONDS)
    states = model.states([clip], model.encoder_sites)
    frames = model.clock.count(len(clip))
    for site in model.encoder_sites:
        assert states[site].shape[0] == 1
        if model.clock.padded:
            assert states[site].shape[1] > frames
        else:
            assert states[site].shape[1] == frames
    times = model.clock.times(len(clip))
    assert len(times) == frames
    assert 0 <= times[0] < 0.03
    assert SECONDS - 0.05 < times[-1] <= SECONDS


def test_every_recogniser_of_transformers_is_read_or_refused_with_a_reason():
    lists = ("CTC", "RNNT", "TDT", "SPEECH_SEQ_2_SEQ")
    known = {kind for each in lists for kind in getattr(modeling_auto, f"MODEL_FOR_{each}_MAPPING_NAMES")}
    speaking = {"dia", "pop2piano", "vibevoice"}  # listed there, but write audio or notes
    assert known - speaking <= ROWS.keys() | UNSUPPORTED.keys()
    assert not ROWS.keys() & UNSUPPORTED.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_frame_sees_the_sound_at_its_time(family):
    """An impulse changes the embedding most in the frame whose time is nearest."""
    convolutional = family in ("wav2vec2", "hubert", "wavlm")
    # group normalisation over time would spread the impulse to all frames
    model = tiny_model(family, **({"feat_extract_norm": "layer"} if convolutional else {}))
    quiet = noise(SECONDS) * 0.01
    loud = quiet.copy()
    at = 0.6
    loud[int(at * 16000)] += 5.0
    if convolutional:
        # the positional convolution of these families smears the embedding; look before it
        read = lambda clip: model.network.base_model.feature_extractor(torch.tensor(clip)[None]).mT  # noqa: E731
    else:
        read = lambda clip: model.states([clip], ["encoder.0"])["encoder.0"]  # noqa: E731
    with torch.inference_mode():
        change = (read(loud) - read(quiet)).norm(dim=-1)[0]
    nearest = model.clock.nearest(np.array([at]), len(quiet))[0]
    assert abs(int(change.argmax()) - nearest) <= 1


def test_a_batch_gives_each_clip_what_it_gets_alone(model):
    clips = [noise(1.0, seed) for seed in range(3)]
    together = model.states(clips, model.encoder_sites)
    for row, clip in enumerate(clips):
        alone = model.states([clip], model.encoder_sites)
        for site in model.encoder_sites:
            torch.testing.assert_close(together[site][row], alone[site][0], atol=1e-5, rtol=1e-4)


def test_unembedding_the_last_stream_gives_the_models_logits(model):
    clip = noise(1.0)
    last = f"decoder.{2}" if "decoder.2" in model.places else f"encoder.{model.encoder_layers}"
    seen = []
    with torch.inference_mode(), model.hooks({last: seen.append}):
        inputs = model.inputs([clip])
        start = {"decoder_input_ids": torch.tensor([[4, 7]])} if last.startswith("decoder") else {}
        logits = model.network(**inputs, **start).logits
        assert torch.equal(model.unembed(seen[0]), logits)


def test_the_transcript_is_the_bare_models_greedy_output(model):
    clips = [noise(1.0, seed) for seed in range(2)]
    transcripts = model.transcribe(clips)
    with torch.inference_mode():
        inputs = model.inputs(clips)
        if "decoder.0" not in model.places:
            tokens = model.network(**inputs).logits.argmax(-1).tolist()
        else:
            start = torch.tensor([[model.network.config.decoder_start_token_id]] * 2)
            tokens = GenerationMixin.generate(
                model.network, **inputs, decoder_input_ids=start,
                decoder_attention_mask=torch.ones_like(start), do_sample=False,
            )[:, 1:].tolist()  # fmt: skip
    for transcript, bare in zip(transcripts, tokens, strict=True):
        assert list(transcript.tokens) == bare[: len(transcript.tokens)]
        assert len(transcript.log_probs) == len(transcript.tokens)
        assert all(value <= 0 for value in transcript.log_probs)


def test_stable_layer_norm_models_are_unembedded_through_their_norm():
    model = tiny_model("wav2vec2", do_stable_layer_norm=True, feat_extract_norm="layer")
    test_unembedding_the_last_stream_gives_the_models_logits(model)


def test_clips_of_unequal_length_are_not_padded_into_a_batch():
    with pytest.raises(InputError, match="unequal length"):
        tiny_model("hubert").inputs([noise(1.0), noise(1.1)])


@pytest.mark.parametrize(("family", "seconds"), [("whisper", 31.0), ("wav2vec2", 0.02)])
def test_clips_outside_the_window_are_refused(family, seconds):
    with pytest.raises(InputError, match="split or remove"):
        tiny_model(family).inputs([noise(seconds)])


@given(st.integers(400, 200_000))
def test_the_clock_of_convolutions_counts_what_convolutions_give(samples):
    kernels, strides = (127, 7, 3), (64, 3, 2)
    clock = FrameClock.of_convolutions(kernels, strides)
    length = samples
    for kernel, stride in zip(kernels, strides, strict=True):
        length = max(0, (length - kernel) // stride + 1)
    assert clock.count(samples) == length


@given(st.floats(0, 2.0))
def test_the_nearest_frame_is_at_most_half_a_stride_away(time):
    samples = 2 * 16000
    for clock in (WHISPER, FrameClock.of_convolutions((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))):
        times = clock.times(samples)
        index = clock.nearest(np.array([time]), samples)[0]
        assert abs(times[index] - time) <= abs(times - time).min() + 1e-9


def test_the_frame_nearest_to_the_time_of_a_frame_is_that_frame(model):
    times = model.clock.times(16000)
    assert model.clock.nearest(times, 16000).tolist() == list(range(model.clock.count(16000)))
