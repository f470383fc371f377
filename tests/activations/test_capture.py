"""One pass gives every demand what it reads, and the cache changes nothing."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_item, noise, tiny_model

from innerear.activations.capture import Demand, capture
from innerear.activations.readings import (
    Frames,
    Layer,
    Pooled,
    Start,
    Steps,
    Stretches,
    Text,
    Written,
    unpacked,
)
from innerear.data.schema import Corpus
from innerear.util.cached import SUFFIX
from innerear.util.errors import InnerearError, InputError

TIMES = [np.array([0.1, 0.5]), np.array([]), np.array([0.2, 0.7, 0.9]), np.array([0.3])]


def corpus(*extra):
    clips = [make_item(f"c{index}", noise(1.0 + 0.1 * (index % 2), index)) for index in range(4 - len(extra))]
    return Corpus("test", "1", (*clips, *extra), "made", "none")


def frames(model, clips=None, times=TIMES, **options):
    clips = clips or corpus()
    asked = {item.id: time for item, time in zip(clips, times, strict=True)}
    return capture(model, [Demand(clips, Frames(asked))], **options)[0]


def test_frames_equal_the_states_of_each_clip_alone(model):
    heard = frames(model)
    assert heard.indices.tolist() == [0, 2, 3]
    assert heard.joined("states").shape == (model.encoder_layers + 1, 6, 32)
    for index in heard.indices:
        audio = corpus().items[index].audio()
        at = model.clock.nearest(TIMES[index], len(audio))
        states = model.states([audio], model.encoder_sites)
        for layer, site in enumerate(model.encoder_sites):
            assert torch.equal(heard.values[index]["states"][:, layer], states[site][0, at])


def test_pooled_states_leave_the_padding_out(model):
    heard = capture(model, [Demand(corpus(), Pooled())])[0].stacked("states")
    for index, item in enumerate(corpus()):
        audio = item.audio()
        states = model.states([audio], model.encoder_sites)
        for layer, site in enumerate(model.encoder_sites):
            valid = states[site][0, : model.clock.count(len(audio))]
            np.testing.assert_allclose(heard[layer, index], valid.mean(dim=0), atol=1e-6)


def test_stretches_hold_the_frames_whose_centres_lie_inside(model):
    spans = {item.id: np.array([[0.1, 0.4], [0.5, 0.501]]) for item in corpus()}
    whole, mean = capture(
        model, [Demand(corpus(), Stretches(spans, mean=False)), Demand(corpus(), Stretches(spans, mean=True))]
    )
    audio = corpus().items[1].audio()
    centres = model.clock.times(len(audio))
    inside = np.flatnonzero((centres >= 0.1) & (centres < 0.4))
    states = model.states([audio], ["encoder.2"])["encoder.2"][0]
    values = whole.values[1]
    assert values["lengths"].tolist() == [len(inside), 1]
    assert torch.equal(values["states"][: len(inside), 2], states[inside])
    assert torch.allclose(mean.values[1]["states"][0, 2], states[inside].mean(dim=0), atol=1e-6)


def test_text_and_decoder_states_come_of_the_same_pass():
    model = tiny_model("whisper")
    text, written, pooled = capture(
        model, [Demand(corpus(), Text()), Demand(corpus(), Written()), Demand(corpus(), Pooled())]
    )
    for index, item in enumerate(corpus()):
        alone = model.transcribe([item.audio()])[0]
        made = unpacked(text.values[index]["json"])
        assert (made["text"], made["tokens"], made["ended"]) == (alone.text, list(alone.tokens), alone.ended)
        encoded = model.encode([item.audio()])
        with model.reading(model.decoder_sites) as kept:
            model.teacher_force(encoded, alone.tokens)
        last = torch.stack([kept[site][0, -1] for site in model.decoder_sites])
        assert torch.equal(written.values[index]["end"], last)
    assert text.log is pooled.log
    assert text.log.processed == len(corpus())


def test_a_clip_that_two_demands_share_is_heard_once():
    model = tiny_model("moonshine")
    fewer = Corpus("other", "1", corpus().items[1:3], "made", "none")
    first, second = capture(model, [Demand(corpus(), Pooled()), Demand(fewer, Pooled())])
    assert first.log.processed == 4
    assert torch.equal(first.values[1]["states"], second.values[0]["states"])


def test_batches_hold_only_clips_of_one_shape_and_give_the_same_features():
    model = tiny_model("moonshine")
    alone, batched = frames(model), frames(model, batch_size=2)
    assert batched.indices.tolist() == alone.indices.tolist()
    np.testing.assert_allclose(batched.joined("states"), alone.joined("states"), atol=1e-5)


def test_a_second_capture_reads_the_cache_and_hears_nothing(tmp_path):
    model = tiny_model("moonshine")
    first = frames(model, cache=tmp_path)
    second = frames(model, cache=tmp_path)
    assert (first.log.processed, first.log.cached) == (3, 0)
    assert (second.log.processed, second.log.cached) == (0, 3)
    assert np.array_equal(first.joined("states"), second.joined("states"))


def test_a_pass_reads_the_layers_that_are_asked_for_and_warms_a_model_up_once():
    model, asked = tiny_model("moonshine"), []
    reading = model.reading
    model.reading = lambda sites: asked.append(tuple(sites)) or reading(sites)
    layer = Demand(corpus(), Layer("encoder.1", 2))
    capture(model, [Demand(corpus(), Text())], batch_size=4)
    assert asked[0] == model.encoder_sites
    assert set(asked[1:]) == {()}
    asked.clear()
    (alone,) = capture(model, [layer], batch_size=4)
    assert set(asked) == {("encoder.1",)}
    (beside, _) = capture(model, [layer, Demand(corpus(), Pooled())], batch_size=4)
    assert asked[-1] == model.encoder_sites
    for index in alone.indices:
        assert torch.equal(alone.values[index]["states"], beside.values[index]["states"])


def test_what_is_cached_is_read_when_it_is_asked_for_and_then_is_what_memory_would_hold(tmp_path):
    model = tiny_model("moonshine")
    pooled = [capture(model, [Demand(corpus(), Pooled())], cache=cache)[0] for cache in (None, tmp_path)]
    heard = [frames(model, cache=cache) for cache in (None, tmp_path)]
    for name, (memory, disk) in {"stacked": pooled, "joined": heard}.items():
        one, other = (getattr(each, name)("states") for each in (memory, disk))
        assert one.shape == other.shape
        assert all(np.array_equal(one[layer], other[layer]) for layer in range(len(one)))
    left = sorted(tmp_path.rglob(f"*{SUFFIX}"))
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == left
    for path in left:
        path.unlink()
    with pytest.raises(InputError, match="was damaged or removed during the run"):
        heard[1].joined("states")


def test_the_cache_knows_weights_and_times(tmp_path):
    model = tiny_model("moonshine")
    frames(model, cache=tmp_path)
    later = [asked + 0.05 for asked in TIMES]
    assert frames(model, times=later, cache=tmp_path).log.cached == 0
    model.identity = replace(model.identity, parts={"weights": "other"})
    assert frames(model, cache=tmp_path).log.cached == 0


def test_damaged_cached_readings_are_taken_again_and_told_with_their_number(tmp_path, caplog):
    model = tiny_model("moonshine")
    first = frames(model, cache=tmp_path)
    cut, flipped, _ = sorted(tmp_path.rglob(f"*{SUFFIX}"))
    cut.write_bytes(cut.read_bytes()[:500])
    data = bytearray(flipped.read_bytes())
    data[-1] ^= 1  # a number, which stays finite
    flipped.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        again = frames(model, cache=tmp_path)
    assert (again.log.processed, again.log.cached) == (2, 1)
    assert np.array_equal(first.joined("states"), again.joined("states"))
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 2 cached files were damaged and computed again; check the disk"
    ]
    assert frames(model, cache=tmp_path).log.cached == 3


@pytest.mark.parametrize("threads", [1, 3])
def test_a_cache_that_cannot_be_written_costs_the_cache_only(tmp_path, caplog, threads):
    model, before = tiny_model("moonshine"), torch.get_num_threads()
    cache = tmp_path / "a file"
    cache.write_bytes(b"")
    torch.set_num_threads(threads)
    try:
        with caplog.at_level(logging.WARNING):
            alone = frames(model)
            for _ in range(2):
                assert np.array_equal(frames(model, cache=cache).joined("states"), alone.joined("states"))
    finally:
        torch.set_num_threads(before)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{cache}: going on without caching")


def test_a_bad_clip_is_counted_and_the_others_go_on():
    model = tiny_model("whisper")
    heard = frames(model, corpus(make_item("bad", b"not audio")))
    assert heard.refused[0][0] == "bad"
    assert heard.indices.tolist() == [0, 2]


def test_strict_stops_at_a_bad_clip():
    model = tiny_model("whisper")
    with pytest.raises(InputError, match="bad: cannot decode"):
        frames(model, corpus(make_item("bad", b"not audio")), strict=True)


def test_a_corpus_without_a_usable_clip_is_refused():
    model = tiny_model("whisper")
    only = Corpus("test", "1", (make_item("bad", b""),), "made", "none")
    with pytest.raises(InputError, match=r"no clip could be processed.*bad: the audio file is empty"):
        frames(model, only, [np.array([0.1])])


def test_states_that_are_not_finite_are_an_error():
    model = tiny_model("whisper")
    with torch.no_grad():
        model.network.model.encoder.layers[1].fc2.bias.fill_(float("nan"))
    with pytest.raises(InnerearError, match="not finite"):
        frames(model)


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_the_start_and_the_steps_are_the_decoder_led_over_nothing_and_over_the_output(family):
    model, clips = tiny_model(family), corpus()
    start, steps, text = capture(model, [Demand(clips, each) for each in (Start(), Steps(), Text())])
    for index, item in enumerate(clips):
        with torch.inference_mode():
            encoded = model.encode([item.audio()])
            tokens = unpacked(text.values[index]["json"])["tokens"]
            with model.reading(model.decoder_sites) as kept:
                model.teacher_force(encoded, tokens)
        first = model.prefix_length - 1
        for layer, site in enumerate(model.decoder_sites):
            assert torch.equal(steps.values[index]["states"][:, layer], kept[site][0, first:])
            torch.testing.assert_close(start.values[index]["states"][layer], kept[site][0, first])


def test_what_is_heard_side_by_side_is_what_is_heard_one_by_one(model, tmp_path):
    """To the bit, from the cache too; what cannot be heard is counted in both."""
    clips, demands = corpus(make_item("long", noise(40, 1))), []
    for reading in (Pooled(), Text()) if model.decoder_layers else (Pooled(),):
        demands.append(Demand(clips, reading))
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            for _ in range(2):  # the second time from the cache
                made.append(capture(model, demands, cache=tmp_path / str(threads)))
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        for one, two in zip(made[0], other, strict=True):
            assert list(one.values) == list(two.values)
            assert one.refused == two.refused
            for at, values in one.values.items():
                assert values.keys() == two.values[at].keys()
                for name in values:
                    assert torch.equal(values[name], two.values[at][name])
    heard = [each[0].log.processed for each in made]
    assert heard[0] == heard[2] > 0
    assert heard[1] == heard[3] == 0
    assert made[2][0].log.audio_s == pytest.approx(made[0][0].log.audio_s)
    assert made[2][0].log.encoder_s > 0
