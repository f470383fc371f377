"""What every architecture keeps: a tiny random model of each, with a tokenizer and a front end of its own."""

from functools import partial

import damage
import pytest
import torch
import zoo_audio_lm  # noqa: F401  (lists its architectures)
import zoo_basic  # noqa: F401  (lists its architectures)
import zoo_ctc  # noqa: F401
import zoo_decoders  # noqa: F401
import zoo_transducers  # noqa: F401
from zoo import ARCHITECTURES, clip

from innerear.audit.contract import CHECKS, Subject
from innerear.models.decoder import decoder_of
from innerear.models.loading import load_model
from innerear.util.errors import InputError


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def folder(architecture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo") / architecture
    ARCHITECTURES[architecture].save(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder))


@pytest.fixture(scope="module")
def subject(architecture, folder, model):
    bare, blur = ARCHITECTURES[architecture].bare, ARCHITECTURES[architecture].blur
    clips = [clip(seed=seed) for seed in range(3)]
    return Subject(model, clips, lambda: bare and partial(bare, folder), blur)


DOES_NOT_APPLY = {
    "has no text head": lambda model: not model.writes,
    "has no decoder": lambda model: not model.decoder_layers,
    "has an adapter before its head": lambda model: model.adapted,
    "no module of this architecture sees its heads": lambda model: not any(s.is_head for s in model.places),
}
"""Why a check may not apply, and to which models."""


@pytest.mark.parametrize("name", CHECKS)
def test_it_keeps_the_contract(subject, name):
    outcome = CHECKS[name](subject)
    if outcome.held is None:
        reason = next(reason for reason in DOES_NOT_APPLY if reason in outcome.reason)
        assert DOES_NOT_APPLY[reason](subject.model)
    else:
        assert outcome.held, f"{outcome.reason}: {outcome.difference}"


def test_saved_and_loaded_again_it_is_the_same_model(folder, model):
    again = load_model(str(folder))
    assert again.identity.sha256 == model.identity.sha256
    site = model.encoder_sites[-1]
    assert torch.equal(again.states([clip()], [site])[site], model.states([clip()], [site])[site])


def test_tokens_that_decoding_leaves_out_stand_for_no_text(model):
    """A mark of a prompt that a model writes is no word."""
    if not model.writes:
        return
    spelling = model._spelling
    left_out = {
        token
        for token in range(len(spelling.tokenizer))
        if spelling.tokenizer.decode([token]) and not spelling.decode([token])
    }
    assert left_out <= model.special_tokens


def test_the_prompt_is_part_of_the_hash(folder, model):
    if not model.decoder_layers:
        return
    decoder = decoder_of(model)
    assert "prompt" in decoder.identity.parts
    for language in decoder.generation.languages:
        other = decoder.generation.in_language(language)
        assert (other.prefix == decoder.prefix) == (language == decoder.generation.language)


def test_a_random_twin_has_its_sites_and_other_weights(folder, model):
    twin = load_model(str(folder), twin_seed=1)
    assert list(twin.places) == list(model.places)
    assert twin.identity.weights_sha256 != model.identity.weights_sha256


def test_tensors_that_are_there_under_an_old_and_a_new_name_are_refused(tmp_path):
    """Which of the two a network takes would be chance; several architectures are stored under old names."""
    ARCHITECTURES["qwen2_audio"].save(tmp_path / "saved")
    again = damage.tensors(lambda held: held | {"lm_head.weight": held["language_model.lm_head.weight"] + 1})
    with pytest.raises(InputError, match="there twice, under an old and a new name: 1"):
        load_model(str(damage.copied(tmp_path / "saved", tmp_path / "twice", again)))
