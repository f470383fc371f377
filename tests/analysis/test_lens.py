"""The lens at the last layer is the model; saturation is its definition; the tuned lens undoes a rotation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_model
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from innerear.analysis.lens import LensOutput, Unembedding, apply_lens, divergence, saturation, tune

DECODERS = ("whisper", "moonshine")


def led(family, tokens=(5, 6, 7, 8)):
    """States [site, token, dim] of a tiny model over some tokens, and the logits that it gives itself."""
    model = tiny_model(family)
    with torch.inference_mode():
        encoded = model.encode([np.random.default_rng(0).standard_normal(16000).astype(np.float32)])
        with model.reading(model.decoder_sites) as kept:
            logits = model.teacher_force(encoded, tokens)
    states = torch.stack([kept[site][0, model.prefix_length - 1 :] for site in model.decoder_sites])
    return model, states, logits[model.prefix_length - 1 :]


@pytest.mark.parametrize("family", DECODERS)
def test_the_last_layer_is_what_the_model_says(family):
    model, states, logits = led(family)
    first = torch.arange(4) == 0
    torch.testing.assert_close(Unembedding(model)(states[-1], first), logits.log_softmax(-1))
    seen = apply_lens(states, Unembedding(model), first)
    assert (seen.rank[-1] == 0).all()
    assert (seen.kl[-1] == 0).all()
    np.testing.assert_array_equal(seen.top[-1], logits.argmax(-1))
    by_hand = model.unembed(states[0]).log_softmax(-1)
    last = logits.log_softmax(-1)
    kl = torch.nn.functional.kl_div(by_hand, last, log_target=True, reduction="none").sum(-1)
    np.testing.assert_allclose(seen.kl[0], kl.detach(), atol=1e-5)
    rank = (by_hand > by_hand.gather(-1, last.argmax(-1)[:, None])).sum(-1)
    np.testing.assert_array_equal(seen.rank[0], rank)


def test_tokens_that_are_never_written_have_no_probability():
    model, states, logits = led("whisper")
    best = int(logits[1].argmax())
    model.generation = replace(model.generation, suppress=(best,), begin_suppress=(int(logits[0].argmax()),))
    log_probs = Unembedding(model)(states[-1], torch.arange(4) == 0)
    assert log_probs.exp()[:, best].sum() == 0
    assert int(log_probs[0].argmax()) != int(logits[0].argmax())
    assert torch.isfinite(log_probs).all()


@given(arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.integers(0, 2)))
def test_saturation_is_the_first_layer_from_which_the_top_stays(top):
    for token, layer in enumerate(saturation(top)):
        column = top[:, token]
        stays = [at for at in range(len(column)) if (column[at:] == column[-1]).all()]
        assert layer == stays[0]


def test_the_tuned_lens_undoes_a_rotation_that_the_logit_lens_does_not_see():
    model, states, _ = led("whisper", tuple(range(5, 35)))
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        last = states[-1].mean(0) + torch.randn(400, 32, generator=generator)
    rotation = torch.linalg.qr(torch.randn(32, 32, generator=generator))[0]
    turned, first, head = last @ rotation, torch.zeros(400, dtype=torch.bool), Unembedding(model)
    settings = dict(ridge=1.0, steps=20, checks=2, seed=0)
    train, dev, test = np.arange(250), np.arange(250, 300), np.arange(300, 400)
    tuned = tune(turned, last, first, head, train, dev, **settings)
    both = torch.stack([turned[test], last[test]])
    before = apply_lens(both, head, first[test])
    after = apply_lens(both, head, first[test], [tuned.translator])
    assert after.kl[0].mean() < 0.01 * before.kl[0].mean()
    assert (after.rank[0] == 0).mean() > 0.95 > (before.rank[0] == 0).mean()
    again = tune(turned, last, first, head, train, dev, **settings)
    assert again.dev_kl == tuned.dev_kl
    assert torch.equal(again.translator.weight, tuned.translator.weight)
    assert len(tuned.dev_kl) == 3


def test_divergence_of_equals_is_zero_and_parts_join():
    log_probs = torch.randn(3, 7).log_softmax(-1)
    assert divergence(log_probs, log_probs).abs().max() == 0
    one = LensOutput(*(np.zeros((2, 3)) for _ in range(3)))
    assert LensOutput.joined([one, one]).top.shape == (2, 6)
