"""A cause planted by hand is found by the methods that should find it; their parts equal slow references."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import noise, tiny_model

from innerear.interventions.ablation import heads
from innerear.interventions.run import predict, teacher_force
from innerear.interventions.spec import Intervention
from innerear.interventions.weights import HeadWeights, edited_weights
from innerear.planted import methods as made
from innerear.planted.problem import ForcedRun, Problem, Trial, together
from innerear.planted.scoring import _faithfulness, _found, score_method
from innerear.util.errors import InnerearError, InputError

CAUSE = "decoder.2.cross_attn.head.3"
WRONG, RIGHT = 7, 9


def problem(model, stack="decoder", count=4):
    """Loud clips are asked about, soft ones are quiet."""
    trials = tuple(
        Trial(
            ForcedRun(np.clip(6 * noise(0.6, at), -1, 1), (5, 6)),
            ForcedRun(noise(0.6, 50 + at), (5, 6)),
            WRONG, RIGHT,
        )
        for at in range(count)
    )  # fmt: skip
    if stack == "encoder":
        sites = [site for site in model.places if site.startswith("encoder") and site.endswith("mlp")]
    else:
        sites = [*heads(model), "decoder.1.mlp", "decoder.2.mlp"]
    return Problem(model, trials, tuple(sites))


@pytest.fixture(params=["whisper", "moonshine"])
def planted(request):
    """A head that writes a token where the clip is loud."""
    model = tiny_model(request.param)
    asked = problem(model)
    loud, soft = (
        torch.stack([asked.encode(getattr(trial, side).audio)[0].mean(dim=0) for trial in asked.trials])
        for side in ("asked", "quiet")
    )
    gap = loud.mean(dim=0) - soft.mean(dim=0)
    reads = gap / (gap @ gap)
    norm = model.decoder_norm.weight.detach()
    weight = model.network.get_parameter("proj_out.weight").detach()
    write = norm * (weight[WRONG] - weight[RIGHT])
    edits = HeadWeights.of(model, CAUSE).rebuilt(model, None, reads[None], 40 * write[:, None] / write.norm())
    return asked, edits


@pytest.mark.parametrize("name", ["activation-patching", "attribution-patching", "direct-attribution"])
def test_the_cause_is_named_first(planted, name):
    asked, edits = planted
    with edited_weights(asked.model, edits):
        scores = made.OWN[name](asked)
    assert asked.sites[int(scores.argmax())] == CAUSE


def test_difference_of_means_sees_the_cause_and_what_comes_after_it(planted):
    """It tells what differs, not what causes; heads that hear nothing of the clip do not differ."""
    asked, edits = planted
    with edited_weights(asked.model, edits):
        scores = dict(zip(asked.sites, made.difference_of_means(asked).tolist(), strict=True))
    assert scores[CAUSE] > 1
    assert scores["decoder.1.self_attn.head.0"] < 1e-3


def test_ablations_give_the_fall_of_the_outcome(planted):
    """Against one world at a time on the whole decoder."""
    asked, edits = planted
    with edited_weights(asked.model, edits):
        found = made.zero_ablation(asked)
        for at in (0, len(asked.sites) - 1):
            site, falls = asked.sites[at], []
            for trial in asked.trials:
                encoded = asked.encode(trial.asked.audio)
                tokens = [*trial.asked.tokens, 0]
                world = (Intervention(site=site, kind="zero"),)
                before, after = (
                    teacher_force(asked.model, encoded, [tokens], [each])[0][-1] for each in ((), world)
                )
                falls.append(float((before - after)[WRONG] - (before - after)[RIGHT]))
            assert float(found[at]) == pytest.approx(np.mean(falls), abs=1e-3)


def test_patching_everything_at_once_is_the_quiet_run(planted):
    """With all components of the last layer taken from the quiet run, one by one is not all at once."""
    asked, edits = planted
    with edited_weights(asked.model, edits):
        trial = asked.trials[0]
        same = asked.replaced(trial, asked.states(trial.asked))
        torch.testing.assert_close(same, torch.full_like(same, asked.outcome(trial)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stack", ["decoder", "encoder"])
@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_gradients_equal_finite_differences(family, stack):
    asked = problem(tiny_model(family), stack, 1)
    (trial,) = asked.trials
    slopes, states = asked.gradients(trial), asked.states(trial.asked)
    assert set(slopes) == set(asked.sites)
    site = asked.sites[1]
    step = torch.randn(states[site].shape, generator=torch.Generator().manual_seed(0))
    step *= 1e-2 / step.norm()
    ups, downs = (
        asked.replaced(trial, states | {site: states[site] + sign * step})[asked.sites.index(site)]
        for sign in (1, -1)
    )
    assert float(ups - downs) / 2 == pytest.approx(float((slopes[site] * step).sum()), rel=0.1, abs=2e-6)


def test_only_the_last_position_is_read_out():
    model = tiny_model("whisper")
    encoded = model.encode([noise(0.5)])
    worlds = [(), (Intervention(site="decoder.1.mlp", kind="zero"),)]
    whole = teacher_force(model, encoded, [[5, 6, 0]], worlds)
    last = predict(model, encoded, [5, 6], worlds)
    torch.testing.assert_close(last, torch.stack([row[-1] for row in whole]), atol=1e-5, rtol=1e-5)


def test_methods_that_do_not_apply_say_so():
    asked = problem(tiny_model("whisper"), "encoder", 2)
    assert made.direct_attribution(asked) is None
    assert made.attention_shift(asked) is None
    assert made.attention_to_copied(problem(tiny_model("whisper"), count=2)) is None


def test_attention_to_copied_is_the_weight_on_the_token():
    asked = problem(tiny_model("whisper"), count=2)
    asked = replace(asked, trials=tuple(replace(trial, wrong=6) for trial in asked.trials))
    scores = made.attention_to_copied(asked)
    own, _ = asked.attention(asked.trials[0].asked)
    other, _ = asked.attention(asked.trials[1].asked)
    place = asked.sites.index("decoder.2.self_attn.head.1")
    assert float(scores[place]) == pytest.approx(float(own[1, 1, -1] + other[1, 1, -1]) / 2)


def test_clips_are_brought_to_one_length():
    assert {len(clip) for clip in together([noise(0.5), noise(0.7)])} == {11200}


def test_a_name_that_is_taken_is_refused(monkeypatch):
    class Entry:
        name, value = "zero-ablation", "mine:method"

    monkeypatch.setattr(made, "entry_points", lambda group: [Entry()])
    with pytest.raises(InputError, match="name it otherwise"):
        made.methods()


def test_a_method_of_ones_own_is_loaded(monkeypatch):
    class Entry:
        name, value = "mine", "mine:method"

        def load(self):
            return made.random_order

    monkeypatch.setattr(made, "entry_points", lambda group: [Entry()])
    assert made.methods()["mine"] is made.random_order


class Fake:
    """What scoring needs of a planted model, with outcomes by what is repaired."""

    name, sites, causes, decoys = "x/y/0", ("a", "b", "c", "d"), ("b", "c"), ("d",)
    outcomes: dict = {"planted": 4.0, "repaired": -6.0, "untouched": -6.0}  # noqa: RUF012

    def outcome(self, repaired=()):
        return 4.0 - 5.0 * len({"b", "c"} & set(repaired))


def test_scores_of_a_method_by_hand():
    scores, twin = torch.tensor([0.1, 3.0, 1.0, 2.0]), torch.tensor([1.6, 0.0, 0.0, 2.0])
    found = _found(Fake(), scores, twin, 1.0)
    assert found.top == "b"
    assert found.auroc == pytest.approx(3 / 4)  # c is beaten by d
    assert found.precision == 0.5
    assert found.reciprocal == 1
    assert found.alarms == 2
    assert found.decoys == 1
    assert found.curve == [[1.0, 0.5], [2.0, 0.5], [4.0, 1.0]]
    assert found.cpr == pytest.approx((0.5 + 0.75) / 2)
    assert found.cmd == pytest.approx((0.5 + 0.25) / 2)


def test_repairing_all_is_the_whole_behaviour():
    counts, shares = _faithfulness(Fake(), ["a", "d", "c", "b"])
    assert counts == [1, 2, 4]
    assert shares == [0, 0, 1]


def test_scores_that_are_not_numbers_are_refused(planted):
    asked, edits = planted

    class Half(Fake):
        rank = asked.trials

        def problem(self, trials):
            return asked

        def operated(self):
            return edited_weights(asked.model, edits)

    with pytest.raises(InnerearError, match="one finite score"):
        score_method(Half(), lambda _: torch.full((4,), torch.nan))
