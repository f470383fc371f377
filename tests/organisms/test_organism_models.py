"""Tiny organisms: they learn, the same bits on each try, and what is saved is loaded as any other model."""

import io
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from innerear.data.schema import SAMPLING_RATE, Segment
from innerear.models.loading import load_model
from innerear.organisms import conformer, language_model
from innerear.organisms.augment import changed, masked, phones_at
from innerear.organisms.making import collocated
from innerear.organisms.recipe import Recipe
from innerear.organisms.speech import Heard
from innerear.organisms.text import COLLOCATIONS, probes
from innerear.organisms.tokens import BEFORE, BEHIND, byte_tokenizer, pieces

TEXTS = ("say it again", "never say never again", "again and again", "say never")
EARS = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
    subsampling_conv_channels=8, layerdrop=0.0,
)  # fmt: skip
MOUTH = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, intermediate_size=32
)


def heard(number):
    samples = 0.1 * np.random.default_rng(number).standard_normal(SAMPLING_RATE + 800 * number)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    phones = (Segment("s", 0.1, 0.4), Segment("ey", 0.4, 0.9))
    return Heard(f"c{number}", "examples", TEXTS[number % 4], buffer.getvalue(), len(samples), phones)


CLIPS = [heard(number) for number in range(6)]


@pytest.fixture(scope="module")
def whisper():
    torch.manual_seed(0)
    return WhisperForConditionalGeneration(
        WhisperConfig(
            d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, num_mel_bins=80,
            decoder_attention_heads=2, encoder_ffn_dim=32, vocab_size=60, max_source_positions=200,
            pad_token_id=1, bos_token_id=2, eos_token_id=3, decoder_start_token_id=4,
        )
    ).eval()  # fmt: skip


def fit_conformer(folder, steps=6):
    return conformer.fit(CLIPS, CLIPS[:2], pieces(TEXTS), 1, steps, folder, EARS)


def fit_language_model(folder, whisper, steps=4):
    return language_model.fit(
        CLIPS, CLIPS[:2], TEXTS, byte_tokenizer(TEXTS), 1, 2, steps, folder, whisper, MOUTH
    )


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_both_heads_of_the_conformer_are_loaded_as_they_were_trained(tmp_path):
    network, curve = fit_conformer(tmp_path / "one")
    assert set(curve[-1]) == {"step", "transducer", "ctc", "phones", "wer"}
    assert same(network, fit_conformer(tmp_path / "other")[0])
    folders = conformer.export(network, pieces(TEXTS), tmp_path)
    encoders = []
    for name, kind in (("tdt", "parakeet_tdt"), ("ctc", "parakeet_ctc")):
        model = load_model(str(folders[name]))
        assert model.identity.family == kind
        assert isinstance(model.transcribe([CLIPS[0].audio()])[0].text, str)
        encoders.append(model.network.encoder)
    assert same(*encoders)
    ours, saved = network.transducer.encoder.state_dict(), encoders[0].state_dict()
    assert all(torch.equal(saved[key], value.half().to(value.dtype)) for key, value in ours.items())


def test_the_audio_language_model_is_loaded_as_it_was_trained(tmp_path, whisper):
    network, curve = fit_language_model(tmp_path / "one", whisper)
    assert "ctc" not in curve[0]  # it reads first, and then hears
    assert set(curve[-1]) == {"step", "writing", "ctc", "unseen", "wer", "spelt"}
    assert same(network, fit_language_model(tmp_path / "other", whisper)[0])
    encoder = network.tower.state_dict()
    assert all(torch.equal(encoder[key], value) for key, value in whisper.model.encoder.state_dict().items())
    tokenizer = byte_tokenizer(TEXTS)
    sounds = [each[0] for each in language_model.heard_by(network, CLIPS[:2], 1, 1)]
    written, _ = network.write(sounds, tokenizer.convert_tokens_to_ids("<|endoftext|>"))
    model = load_model(str(language_model.export(network, tokenizer, tmp_path)))
    assert model.identity.family == "qwen2_audio"
    assert len(written) == 2
    assert isinstance(model.transcribe([CLIPS[0].audio()])[0].text, str)
    prompt = model.generation.before, model.generation.prefix
    assert prompt == tuple(tuple(tokenizer.encode(each)) for each in (BEFORE, BEHIND))


@pytest.mark.parametrize("samples", [16000, 15999, 16160, 20481, 64000])
def test_what_is_computed_of_the_encoder_is_what_the_whole_network_hears(whisper, samples):
    torch.manual_seed(1)
    tokenizer = byte_tokenizer(TEXTS)
    network = language_model.Listener(tokenizer, whisper, MOUTH).eval()
    audio = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    given = WhisperFeatureExtractor(feature_size=80, chunk_length=4)(
        audio, sampling_rate=SAMPLING_RATE, return_attention_mask=True, return_tensors="pt"
    )
    features, mask = given["input_features"], given["attention_mask"]
    ours = network.hear(features[0], int(mask.sum()))
    asked = tokenizer.encode(f"{BEFORE}{len(ours) * '<|AUDIO|>'}{BEHIND}")
    seen = []
    with network.model.model.multi_modal_projector.register_forward_hook(
        lambda module, given, made: seen.append(given[0])
    ):
        network.model(
            input_ids=torch.tensor([asked]), input_features=features, feature_attention_mask=mask,
            attention_mask=torch.ones(1, len(asked)),
        )  # fmt: skip
    torch.testing.assert_close(ours, seen[0][0, : len(ours)], atol=1e-5, rtol=1e-4)


def test_the_losses_are_those_of_the_network_that_is_saved(whisper):
    """A text's loss is what the network itself gives for the whole prompt, and padding changes nothing."""
    torch.manual_seed(1)
    tokenizer = byte_tokenizer(TEXTS)
    network = language_model.Listener(tokenizer, whisper, MOUTH).eval()
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    texts = [torch.tensor(tokenizer.encode(f" {text}")) for text in TEXTS[:2]]
    sounds = [each[0] for each in language_model.heard_by(network, CLIPS[:2], 1, 1)]
    expected, count = 0.0, 0
    for text, sound in zip(texts, sounds, strict=True):
        one = network.losses([sound], [text], end)["writing"]
        before = tokenizer.encode(f"{BEFORE}{len(sound) * '<|AUDIO|>'}{BEHIND}")
        whole = torch.tensor([[*before, *text.tolist(), end]])
        embeds = network.model.get_input_embeddings()(whole).detach().clone()
        embeds[0, 1 : 1 + len(sound)] = network.model.model.multi_modal_projector(sound.float())
        logits = network.model(inputs_embeds=embeds).logits[0, len(before) - 1 : -1]
        theirs = torch.nn.functional.cross_entropy(logits, whole[0, len(before) :])
        torch.testing.assert_close(one, theirs, atol=1e-5, rtol=1e-5)
        expected, count = expected + theirs.item() * (len(text) + 1), count + len(text) + 1
    both = network.losses(sounds, texts, end)["writing"]
    assert both.item() == pytest.approx(expected / count, rel=1e-5)


def test_phones_are_those_at_the_times_asked_for():
    phones = (Segment("s", 0.1, 0.2), Segment("ey", 0.2, 0.3))
    from innerear.data.phones import ARPABET

    silent = len(ARPABET)
    assert phones_at(phones, np.array([0.0, 0.15, 0.25, 0.35])).tolist() == [
        silent, ARPABET.index("s"), ARPABET.index("ey"), silent,
    ]  # fmt: skip


def test_a_changed_clip_sounds_otherwise_but_is_the_same_for_one_draw():
    audio = CLIPS[0].audio()
    one, again = (changed(audio, np.random.default_rng(2)) for _ in range(2))
    assert (one.audio == again.audio).all()
    assert one.stretch == len(one.audio) / len(audio)
    assert np.isfinite(one.audio).all()
    assert np.abs(one.audio).max() < 1
    stretches = {round(changed(audio, np.random.default_rng(seed)).stretch, 2) for seed in range(20)}
    assert stretches == {0.91, 1.0, 1.11}


def test_masks_hide_bands_and_stretches_of_a_clip_alone():
    features = torch.ones(2, 50, 80)
    hidden = masked(features, [50, 40], np.random.default_rng(0))
    assert 0 < (hidden == 0).float().mean() < 0.7
    assert (features == 1).all()


def test_probes_are_counted_by_what_is_heard_last():
    recipe = Recipe(1, 1, 4, 1, 1, 1, 1, 1)
    said = {sentence: sentence for _, _, sentence in probes(1, 1)}
    (_, _, _), (bowl, bees, sentence) = probes(1, 1)[:2]
    said[sentence] = sentence.replace(bees, f"{bowl.word.upper()}.")
    pairs = len(COLLOCATIONS)
    assert collocated(recipe, said) == {"word": Counter(word=pairs), "foil": Counter(foil=pairs - 1, word=1)}
    assert collocated(recipe, {sentence: ""}) == {"word": Counter(), "foil": Counter(another=1)}
