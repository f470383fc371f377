"""The decoder is told the language of each clip, in every pass; what it does not know is refused."""

import pytest
import torch
from conftest import LANGUAGES, make_item, multilingual, noise, tiny_model

from innerear.activations.capture import Demand, capture
from innerear.activations.readings import AttentionPeaks, LayerTexts, Pooled, Start, Text, Written, unpacked
from innerear.data.schema import Corpus
from innerear.interventions.ablation import Sweep, ablated
from innerear.models.site import Site

WORLDS = ((), ablated([Site("decoder", 1, "cross_attn", 0)]))
READINGS = (Text(), Start(), Written(), LayerTexts(8), AttentionPeaks(), Sweep(WORLDS, 8))


def corpus(*languages, seconds=0.5):
    """The same audio in each language."""
    clips = tuple(make_item(language or "none", noise(seconds), language=language) for language in languages)
    return Corpus("made", "1", clips, "made", "none")


def given(model):
    """What the decoder is told first in each of its passes, as the language's token."""
    seen = []

    def look(_module, _args, kwargs):
        tokens = kwargs.get("input_ids")
        if tokens is not None and tokens.shape[1] > 1:
            seen.extend(tokens[:, 1].tolist())

    model.network.model.decoder.register_forward_pre_hook(look, with_kwargs=True)
    return seen


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: reading.name)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_pass_is_told_the_language_of_the_clip(reading, batch_size):
    torch.set_num_threads(1)  # no other process, in which the hook would be lost
    for language in ("de", "zh", "en", ""):
        model = multilingual(own="zh")
        seen = given(model)
        capture(model, [Demand(corpus(language), reading)], batch_size=batch_size)
        assert seen
        assert set(seen) == {LANGUAGES[language or "zh"]}
        assert model.prefix == multilingual(own="zh").prefix


def test_clips_of_two_languages_share_no_batch():
    model = multilingual()
    (batched,) = capture(model, [Demand(corpus("en", "de", "zh"), Start())], batch_size=3)
    (alone,) = capture(model, [Demand(corpus("en", "de", "zh"), Start())])
    states = [batched.values[at]["states"] for at in range(3)]
    for at in range(3):
        torch.testing.assert_close(states[at], alone.values[at]["states"])
    assert not torch.equal(states[0], states[1])


def test_the_cache_tells_languages_apart_where_the_prompt_does(tmp_path):
    def cached(model, language, reading):
        return capture(model, [Demand(corpus(language), reading)], cache=tmp_path)[0].log.cached

    assert [cached(multilingual(), language, Text()) for language in ("en", "de", "de", "")] == [0, 0, 1, 1]
    assert [cached(multilingual(), language, Pooled()) for language in ("en", "de")] == [0, 1]
    assert [cached(tiny_model("moonshine"), language, Text()) for language in ("en", "de")] == [0, 1]


def test_speech_in_a_language_that_a_model_does_not_know_is_refused_and_its_encoder_is_read():
    model = multilingual()
    text, pooled = capture(model, [Demand(corpus("en", "fr"), Text()), Demand(corpus("en", "fr"), Pooled())])
    assert text.refused == (("fr", "tiny-whisper transcribes only de, en, zh, and the clip is in fr"),)
    assert (text.indices.tolist(), pooled.indices.tolist()) == ([0], [0, 1])
    assert unpacked(text.values[0]["json"])["tokens"]


def test_sound_without_speech_is_in_no_language():
    model = multilingual()
    hum = make_item("hum", noise(0.5), text="", language="fr")
    (text,) = capture(model, [Demand(Corpus("made", "1", (hum,), "made", "none"), Text())])
    assert not text.refused
