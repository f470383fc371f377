"""Causes planted in an audio language model are found by the tasks that look for them, and no other ones."""

import numpy as np
import pytest
import torch
import transformers as hf
from conftest import Forgetful, Numbers, make_item, measured, noise, write_when_loud

from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus, Segment
from innerear.models.audio_lm import AudioLM
from innerear.models.base import Identity
from innerear.models.families import FAMILIES
from innerear.models.front_end import front_end
from innerear.models.prompts import AudioSettings
from innerear.protocols.alignment_heads import AlignmentHeadsProtocol
from innerear.protocols.base import NotApplicable
from innerear.protocols.phone_probing import PhoneProbingProtocol
from innerear.protocols.repetition import RepetitionProtocol
from innerear.tasks.task import load_task

REPETITION = load_task("repetition").resolve(clips_per_speaker=1)
REPETITION = REPETITION.resolve(
    measure=REPETITION.measure.model_dump() | {"most": 20, "nodes": [1, 2], "best": 2}
)
END, ASKED, FIRST, SECOND, LOOPED = 3, 11, 5, 6, 7


class Words(Numbers):
    """Spells each token as its number, and the end of text not at all."""

    def decode(self, tokens):
        return super().decode(token for token in tokens if token != END)


def audio_lm(window: int) -> AudioLM:
    """A small Qwen2-Audio that writes "5 6" and ends, whatever it hears; `window` in seconds.

    The embedding of each of these tokens points where the output projection has the next one.
    """
    torch.manual_seed(0)
    network = hf.Qwen2AudioForConditionalGeneration(
        hf.Qwen2AudioConfig(
            audio_config=dict(
                model_type="qwen2_audio_encoder", num_mel_bins=80, encoder_layers=3, d_model=32,
                encoder_attention_heads=4, encoder_ffn_dim=64, max_source_positions=50 * window,
            ),
            text_config=dict(
                model_type="qwen2", vocab_size=60, hidden_size=32, intermediate_size=64,
                num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                max_position_embeddings=700,
            ),
            audio_token_index=4,
        )
    )  # fmt: skip
    directions = torch.linalg.qr(torch.randn(32, 32))[0]
    embeddings, head = network.get_input_embeddings().weight.data, network.lm_head.weight.data
    for direction, before, after in zip(
        directions, (ASKED, FIRST, SECOND), (FIRST, SECOND, END), strict=False
    ):
        embeddings[before], head[after] = 10 * direction, direction
    embeddings[LOOPED], head[LOOPED] = embeddings[SECOND], directions[3]
    identity = Identity("tiny", "qwen2_audio", "model", "0", "test", {"weights": "hash"}, 1, "none", ())
    settings = AudioSettings(
        prefix=(10, ASKED), ends=(END,), pad=1, max_tokens=19, before=(12, 13), placeholder=4
    )
    extractor = hf.WhisperFeatureExtractor(chunk_length=window)
    row = FAMILIES["qwen2_audio"]
    return AudioLM(identity, network, row, front_end(extractor, row.listening.mask), Words(), settings)


def loops_when_loud(layer: int, head: int) -> AudioLM:
    """The same, where a head of the language model writes towards one token whenever the clip is loud."""
    model = audio_lm(window=1)
    language_model = model.network.model.language_model
    direction = model.network.lm_head.weight.data[LOOPED]
    write_when_loud(model, language_model.layers[layer].self_attn, head, direction, loud=0.5)
    return model


def loud_and_clean(_name: str) -> Corpus:
    loud = [
        make_item(
            f"h{at}", np.clip(8 * noise(0.5, at), -0.99, 0.99), text="", speaker=f"h{at}",
            extra=(("kind", "loud"),),
        )
        for at in range(24)
    ]  # fmt: skip
    clean = [make_item(f"c{at}", noise(0.5, 90 + at), text="5 6", speaker=f"c{at}") for at in range(4)]
    return Corpus("made", "1", (*loud, *clean), "made", "none")


def test_a_looping_head_of_the_language_model_is_ranked_first_and_confirmed():
    found = measured(RepetitionProtocol(REPETITION, loud_and_clean), loops_when_loud(1, 2))
    assert found.tuned == {"component": "decoder.2.self_attn", "head": "decoder.2.self_attn.head.2"}
    assert found.scores["loop_rate"].value == 1
    assert found.scores["resolved"].value == found.scores["resolved_head"].value == 1
    assert found.scores["head_p"].value == pytest.approx(1 / 8)
    assert found.scores["delta_wer_head"].value == 0
    first, second = found.tables["heads"][:2]
    assert (first["confirmed"], second["confirmed"]) == (1, 0)
    assert [curve.name for curve in found.curves] == ["self_attn", "mlp"]
    assert "head_map" not in found.tables
    assert {row["value"] for row in found.tables["head_map_self"]} == {0, 1}


def test_the_untouched_model_writes_its_words_and_does_not_loop():
    model = audio_lm(window=1)
    assert model.transcribe([noise(0.5, 1)])[0].text == f"{FIRST} {SECOND}"
    with pytest.raises(NotApplicable, match="loops on 0 of 24 clips"):
        measured(RepetitionProtocol(REPETITION, loud_and_clean), model)


def test_a_head_that_follows_the_audio_in_time_is_found_in_self_attention():
    """Its weights are on the embedding of the audio that is heard in the middle of the word predicted."""
    model, seconds = audio_lm(window=1), 0.9
    times = model.heard_times(int(seconds * 16000))

    def attention(encoded, tokens):
        assert encoded.shape[1] == len(times)
        positions = model.prefix_length - 1 + len(tokens)
        weights = torch.zeros(2, 4, positions, len(times))
        weights[..., 0] = 1
        for at in range(2):
            middle = (at + 0.5) / 2 * seconds
            weights[1, 1, model.prefix_length - 1 + at, int(np.abs(times - middle).argmin())] = 2
        return torch.zeros(0), weights

    model.attention = attention
    words = [Segment(str(word), 0.45 * at, 0.45 * (at + 1)) for at, word in enumerate((FIRST, SECOND))]
    text = " ".join(word.label for word in words)
    clips = [
        make_item(f"c{at}", noise(seconds, at), text=text, speaker=f"s{at}", words=tuple(words))
        for at in range(8)
    ]
    task = load_task("alignment-heads").resolve(clips_per_speaker=1)
    task = task.resolve(split=task.split.model_dump() | {"sentence_disjoint": False})
    corpus = Corpus("made", "1", tuple(clips), "made", "none")
    found = measured(AlignmentHeadsProtocol(task, lambda _: corpus), model)
    assert found.tuned["best"] == "decoder.2.self_attn.head.1"
    assert found.scores["on_word"].value == 1
    assert found.tables["heads"][1]["confirmed"] == 0.5  # the first word, at the first frame
    assert {(row["layer"], row["head"]) for row in found.tables["head_map_self"] if row["value"] == 1} == {
        (2, 1)
    }


def test_the_layer_of_the_encoder_that_wipes_out_phones_is_found():
    task = PhoneProbingProtocol(load_task("phoneme-probing").resolve(limit=84), load_corpus)

    def gaps(model):
        found = measured(task, model)
        probe = next(curve for curve in found.curves if curve.name == "probe")
        return np.array([point.value for point in probe.points]) - found.scores["majority"].value

    def heard_alone():
        model = audio_lm(window=10)
        tower = model.network.model.audio_tower
        torch.nn.init.zeros_(tower.embed_positions.weight)  # random ones are louder than random filters
        return model

    untouched = gaps(heard_alone())
    assert (untouched > 0.08).all(), "phones are readable at every layer of the untouched model"
    planted = heard_alone()
    planted.network.model.audio_tower.layers[1] = Forgetful()
    found = gaps(planted)
    np.testing.assert_allclose(found[:2], untouched[:2], atol=1e-6)
    assert (found[2:] < 0.03).all()
