"""Generation settings: from what a folder says, or from its tokenizer where it says nothing."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from conftest import noise, tiny_model
from transformers import MoonshineConfig

from innerear.data.language import language_code
from innerear.interventions.run import generate
from innerear.models.generation import ignored_settings, plain_settings, whisper_settings
from innerear.models.generation_settings import Files
from innerear.util.errors import InputError

CONFIG = SimpleNamespace(max_target_positions=448, decoder_layers=4, decoder_attention_heads=6)
END = 50257
MULTILINGUAL = {
    "Ġ": 220, "<|endoftext|>": END, "<|startoftranscript|>": END + 1, "<|en|>": END + 2, "<|de|>": END + 4,
    "<|hi|>": END + 19, "<|translate|>": 50358, "<|transcribe|>": 50359, "<|startoflm|>": 50360,
    "<|startofprev|>": 50361, "<|nospeech|>": 50362, "<|notimestamps|>": 50363,
}  # fmt: skip
ENGLISH = {spelling: token - (token >= END) for spelling, token in MULTILINGUAL.items()}


def settings(generation=None, config=(), vocabulary=MULTILINGUAL, own_prefix=(), language=""):
    files = Files(generation, dict(config), vocabulary, own_prefix, 51865, list)
    return whisper_settings(files, CONFIG, language)


def test_what_a_folder_lacks_is_derived_from_its_tokenizer():
    made = settings({})
    assert made.prefix == (50258, 50259, 50359, 50363)
    assert (made.ends, made.pad, made.no_speech, made.language) == ((END,), END, 50362, "en")
    assert made.languages == {"en": 50259, "de": 50261, "hi": 50276}
    assert made.max_tokens == 444
    assert made.suppress == made.begin_suppress == (), "a file that lists none wants none"


def test_a_folder_without_generation_config_suppresses_what_openai_does():
    made = settings(None)
    assert made.begin_suppress == (220, END)
    assert {1, 2, 50258, 50358, 50359, 50360, 50361, 50362} < set(made.suppress)
    assert END not in made.suppress
    assert settings(None, {"suppress_tokens": [5]}).suppress == (5,)


def test_an_english_model_is_told_no_language():
    made = settings({}, vocabulary=ENGLISH)
    assert made.prefix == (50257, 50362)
    assert (made.language, made.languages) == ("", {})
    assert made.prefix_for("de") == made.prefix
    with pytest.raises(InputError, match="English-only"):
        settings({"language": "german"}, vocabulary=ENGLISH)


@pytest.mark.parametrize("named", ["german", "de", "<|de|>", "German", "de-AT"])
def test_a_language_has_many_names(named):
    assert settings({"language": named}).prefix == (50258, 50261, 50359, 50363)
    assert language_code(named) == "de"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"generation": {"forced_decoder_ids": [[1, 50261], [2, 50359]]}}, "de"),
        ({"generation": {"forced_decoder_ids": [[1, None], [2, 50359]]}}, "en"),
        ({"config": {"forced_decoder_ids": [[1, 50261], [2, 50359], [3, 50363]]}}, "de"),
        ({"own_prefix": (50258, 50276, 50359, 50363)}, "hi"),
        ({"own_prefix": (50258, 50276), "config": {"forced_decoder_ids": [[1, 50259]]}}, "hi"),
        ({"generation": {"language": "hindi"}, "own_prefix": (50258, 50261)}, "hi"),
        ({"language": "de"}, "de"),
        ({"language": "de", "generation": {"language": "en"}}, "en"),
    ],
)
def test_the_language_of_a_fine_tune_is_where_its_maker_left_it(given, code):
    assert settings(**({"generation": {}} | given)).language == code


def test_another_language_changes_only_its_token():
    made = settings({})
    assert made.prefix_for("hi") == (50258, 50276, 50359, 50363)
    assert made.in_language("hindi") == replace(made, prefix=made.prefix_for("hi"), language="hi")
    with pytest.raises(InputError, match="no token for the language 'xx'"):
        made.prefix_for("xx")


@pytest.mark.parametrize(
    ("stated", "tokens"),
    [
        ({"max_length": 225}, 221),
        ({"max_length": 9999}, 444),
        ({"max_new_tokens": 3}, 3),
        ({"max_new_tokens": 3, "max_length": 225}, 3),
    ],
)
def test_a_stated_length_limits_what_is_written(stated, tokens):
    assert settings(stated).max_tokens == tokens


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ({"eos_token_id": "end"}, "eos_token_id is 'end'"),
        ({"eos_token_id": [END, 99999]}, "99999"),
        ({"decoder_start_token_id": 50257}, "different models"),
        ({"no_timestamps_token_id": 50364}, "different models"),
        ({"lang_to_id": {"<|de|>": 50260}}, "different models"),
        ({"lang_to_id": [1]}, "lang_to_id"),
        ({"task_to_id": {"transcribe": 50360}}, "different models"),
        ({"language": "elvish"}, "language 'elvish' is not known"),
        ({"language": ["de"]}, "not one language"),
        ({"forced_decoder_ids": [1, 2]}, "pairs of position and token"),
        ({"max_length": 4}, "leaves no token"),
        ({"max_length": "long"}, "leaves no token"),
        ({"max_new_tokens": 0}, "leaves no token"),
        ({"suppress_tokens": [-1]}, "suppress_tokens is -1"),
        ({"alignment_heads": [[4, 0]]}, "not in the decoder's 4 layers"),
        ({"alignment_heads": [3]}, "pairs of layer and head"),
    ],
)
def test_what_cannot_be_is_one_line(generation, message):
    with pytest.raises(InputError, match=message) as caught:
        settings(generation)
    assert "\n" not in str(caught.value)


def test_without_any_source_of_a_token_its_name_is_said():
    with pytest.raises(InputError, match="decoder_start_token_id"):
        settings({}, vocabulary={})


def test_moonshine_needs_no_file():
    config = MoonshineConfig(eos_token_id=2, decoder_start_token_id=1, max_position_embeddings=194)
    made = plain_settings(Files(None, {}, {}, (), 32768, list), config)
    assert (made.prefix, made.ends, made.pad, made.max_tokens) == ((1,), (2,), 2, 193)


@pytest.mark.parametrize("key", ["eos_token_id", "decoder_start_token_id"])
def test_a_token_that_no_file_states_must_be_one_of_the_models_too(key):
    config = MoonshineConfig(**{"eos_token_id": 2, "decoder_start_token_id": 1, key: 32768})
    with pytest.raises(InputError, match=f"{key} is 32768, not one of the model's 32768 tokens"):
        plain_settings(Files(None, {}, {}, (), 32768, list), config)


def test_settings_without_a_meaning_here_are_listed():
    stated = {"num_beams": 5, "no_repeat_ngram_size": 3, "repetition_penalty": 1.0, "do_sample": False}
    assert ignored_settings({}, stated) == ["num_beams", "no_repeat_ngram_size"]


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_several_ends_and_suppressed_tokens_act_alike_in_both_ways_of_decoding(family):
    model = tiny_model(family)
    (free,) = model.transcribe([noise(1.0)])
    model.generation = replace(model.generation, begin_suppress=(free.tokens[0],), suppress=(0,))
    (other,) = model.transcribe([noise(1.0)])
    assert not other.ended
    model.generation = replace(model.generation, ends=(*model.generation.ends, other.tokens[2]))
    with torch.inference_mode():
        encoded = model.encode([noise(1.0)])
        (plain,), (hooked,) = model.greedy_decode(encoded), generate(model, encoded, [()])
    assert plain.tokens == hooked.tokens
    assert plain.ended
    assert hooked.ended


def test_what_a_folder_once_set_on_the_network_has_no_effect():
    model = tiny_model("whisper")
    free = model.transcribe([noise(1.0)])
    model.network.generation_config.update(num_beams=3, no_repeat_ngram_size=2, repetition_penalty=9.0)
    model.generation = replace(model.generation)
    assert model.transcribe([noise(1.0)]) == free
