"""Each check of the contract falls where a model breaks it, and all others hold."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
from conftest import noise, tiny_model

from innerear.audit import contract as audited
from innerear.audit.contract import CHECKS, Outcome, Subject, contract
from innerear.models.site import Site
from innerear.util.errors import InnerearError


def _another_clock(model, monkeypatch):
    monkeypatch.setattr(
        model, "clock", replace(model.clock, first=model.clock.first + 3 * model.clock.stride)
    )


def _listens_to_neighbours(model, monkeypatch):
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda audio: encode(audio) * len(audio))


def _starts_elsewhere(model, monkeypatch):
    start = model.encoder_starting_at

    @contextmanager
    def late(layer, states):
        with start(min(layer + 1, model.encoder_layers - 1), states):
            yield

    monkeypatch.setattr(model, "encoder_starting_at", late)


def _no_norm(model, monkeypatch):
    monkeypatch.setattr(model, "encoder_norm", lambda states: states)


def _other_head(model, monkeypatch):
    unembed = model.unembed
    monkeypatch.setattr(model, "unembed", lambda states: unembed(states) * 1.01)


def _a_head_is_missing(model, monkeypatch):
    monkeypatch.delitem(model.places, Site.parse("encoder.2.self_attn.head.1"))


def _a_site_is_missing(model, monkeypatch):
    monkeypatch.delitem(model.places, Site.parse("decoder.2.mlp"))


def _forced_to_other_tokens(model, monkeypatch):
    force = model.teacher_force
    monkeypatch.setattr(model, "teacher_force", lambda encoded, tokens: force(encoded, tokens).roll(1, -1))


def _peeks_at_the_text(model, monkeypatch):
    decoding = model.decoding

    @contextmanager
    def seeing(encoded, **how):
        with decoding(encoded, **how) as made:
            step = made.step
            monkeypatch.setattr(made, "step", lambda tokens, last=False, sees=None: step(tokens, last))
            yield made

    monkeypatch.setattr(model, "decoding", seeing)


BROKEN = {
    "frames at their times": _another_clock,
    "neighbours in a batch": _listens_to_neighbours,
    "start at a site": _starts_elsewhere,
    "last encoder layer is the output": _no_norm,
    "lens at the last layer is the output": _other_head,
    "silenced heads leave the bias": _a_head_is_missing,
    "sites complete and in order": _a_site_is_missing,
    "cached equals uncached": _forced_to_other_tokens,
    "hidden text changes nothing": _peeks_at_the_text,
}


def subject(bare=None):
    model = tiny_model("whisper")

    def own(audio):
        return list(model.transcribe([audio])[0].tokens)

    return Subject(model, [noise(1.3, seed) for seed in range(3)], lambda: bare or own)


@pytest.fixture(scope="module")
def sound():
    return dict(contract(subject()))


@pytest.mark.parametrize("name", CHECKS)
def test_a_sound_model_keeps_it(sound, name):
    assert sound[name].held, sound[name].reason


@pytest.mark.parametrize("name", BROKEN)
def test_the_check_falls_where_it_is_broken(name, monkeypatch):
    broken = subject()
    BROKEN[name](broken.model, monkeypatch)
    monkeypatch.setattr(audited, "CHECKS", {name: CHECKS[name]})
    ((_, outcome),) = contract(broken)
    assert outcome.held is False


def test_each_check_but_that_of_the_text_is_broken_once():
    assert {*BROKEN, "text of transformers alone"} == set(CHECKS)


@pytest.mark.parametrize("bare", [lambda _: [5, 6, 7], lambda _: []])
def test_another_text_falls(bare):
    assert CHECKS["text of transformers alone"](subject(bare)).held is False


def test_a_folder_that_transformers_alone_does_not_load_is_not_applicable_with_the_reason():
    def refuse():
        raise OSError("no preprocessor_config.json")

    outcome = CHECKS["text of transformers alone"](replace(subject(), bare=refuse))
    assert outcome == Outcome(
        None, reason="transformers alone does not load the folder: no preprocessor_config.json"
    )


def test_what_cannot_be_run_has_fallen(monkeypatch):
    broken = subject()

    def fail(_audio):
        raise InnerearError("out of\nmemory")

    monkeypatch.setattr(broken.model, "encode", fail)
    outcomes = dict(contract(broken))
    assert {outcome.held for outcome in outcomes.values()} == {False}
    assert outcomes["neighbours in a batch"].reason == "out of memory"


def test_a_difference_that_is_no_number_is_no_agreement():
    assert Outcome.within([0.0, float("nan")], 1.0, "values").held is False
    assert Outcome.within([float("nan"), 0.0], 1.0, "values").held is False
