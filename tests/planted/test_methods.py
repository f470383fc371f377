"""Methods find a cause planted by hand where they should; their parts equal slow reference computations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import noise, tiny_model

from innerear.interventions.ablation import heads
from innerear.interventions.run import predict, teacher_force
from innerear.interventions.spec import Intervention
from innerear.interventions.weights import HeadWeights, edited_weights
from innerear.models.site import Site
from innerear.planted import methods
from innerear.planted.problem import Problem, RunInput, Trial, pad_to_one_length
from innerear.planted.scoring import _faithfulness, _method_scores, score_method
from innerear.util import plugins
from innerear.util.errors import InnerearError, InputError

CAUSE = Site("decoder", 2, "cross_attn", 3)
WRONG, RIGHT = 7, 9


def loud_against_soft(model, stack="decoder", count=4):
    """Target runs have loud clips, baseline runs soft ones."""
    trials = tuple(
        Trial(
            RunInput(np.clip(6 * noise(0.6, at), -1, 1), (5, 6)),
            RunInput(noise(0.6, 50 + at), (5, 6)),
            WRONG, RIGHT,
        )
        for at in range(count)
    )  # fmt: skip
    if stack == "encoder":
        sites = [site for site in model.places if site.startswith("encoder") and site.endswith("mlp")]
    else:
        sites = [*heads(model), Site("decoder", 1, "mlp"), Site("decoder", 2, "mlp")]
    return Problem(model, trials, tuple(sites))


@pytest.fixture(params=["whisper", "moonshine"])
def planted(request):
    """A head that writes a token where the clip is loud."""
    model = tiny_model(request.param)
    problem = loud_against_soft(model)
    loud, soft = (
        torch.stack([problem.encode(getattr(trial, side).audio)[0].mean(dim=0) for trial in problem.trials])
        for side in ("target", "baseline")
    )
    gap = loud.mean(dim=0) - soft.mean(dim=0)
    reads = gap / (gap @ gap)
    norm = model.decoder_norm.weight.detach()
    weight = model.network.get_parameter("proj_out.weight").detach()
    write = norm * (weight[WRONG] - weight[RIGHT])
    edits = HeadWeights.of(model, CAUSE).rebuilt(model, None, reads[None], 40 * write[:, None] / write.norm())
    return problem, edits


@pytest.mark.parametrize("name", ["activation-patching", "attribution-patching", "direct-attribution"])
def test_the_cause_is_named_first(planted, name):
    problem, edits = planted
    with edited_weights(problem.model, edits):
        scores = methods.BUILT_IN[name](problem)
    assert problem.sites[int(scores.argmax())] == CAUSE


def test_difference_of_means_sees_the_cause_and_what_comes_after_it(planted):
    """It shows what differs, not what is the cause; heads that do not depend on the clip do not differ."""
    problem, edits = planted
    with edited_weights(problem.model, edits):
        scores = dict(zip(problem.sites, methods.difference_of_means(problem).tolist(), strict=True))
    assert scores[CAUSE] > 1
    assert scores["decoder.1.self_attn.head.0"] < 1e-3


def test_ablations_give_the_fall_of_the_outcome(planted):
    """Against one world at a time on the whole decoder."""
    problem, edits = planted
    with edited_weights(problem.model, edits):
        found = methods.zero_ablation(problem)
        for at in (0, len(problem.sites) - 1):
            site, falls = problem.sites[at], []
            for trial in problem.trials:
                encoded = problem.encode(trial.target.audio)
                tokens = [*trial.target.tokens, 0]
                world = (Intervention(site=site, kind="zero"),)
                before, after = (
                    teacher_force(problem.model, encoded, [tokens], [each])[0][-1] for each in ((), world)
                )
                falls.append(float((before - after)[WRONG] - (before - after)[RIGHT]))
            assert float(found[at]) == pytest.approx(np.mean(falls), abs=1e-3)


def test_patching_everything_at_once_is_the_quiet_run(planted):
    """With all components of the last layer taken from the quiet run, one by one is not all at once."""
    problem, edits = planted
    with edited_weights(problem.model, edits):
        trial = problem.trials[0]
        same = problem.outcomes_with(trial, problem.states(trial.target))
        torch.testing.assert_close(same, torch.full_like(same, problem.outcome(trial)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stack", ["decoder", "encoder"])
@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_gradients_equal_finite_differences(family, stack):
    problem = loud_against_soft(tiny_model(family), stack, 1)
    (trial,) = problem.trials
    slopes, states = problem.gradients(trial), problem.states(trial.target)
    assert set(slopes) == set(problem.sites)
    site = problem.sites[1]
    step = torch.randn(states[site].shape, generator=torch.Generator().manual_seed(0))
    step *= 1e-2 / step.norm()
    ups, downs = (
        problem.outcomes_with(trial, states | {site: states[site] + sign * step})[problem.sites.index(site)]
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
    problem = loud_against_soft(tiny_model("whisper"), "encoder", 2)
    assert methods.direct_attribution(problem) is None
    assert methods.attention_shift(problem) is None
    assert methods.attention_to_copied(loud_against_soft(tiny_model("whisper"), count=2)) is None


def test_attention_to_copied_is_the_weight_on_the_token():
    problem = loud_against_soft(tiny_model("whisper"), count=2)
    problem = replace(problem, trials=tuple(replace(trial, wrong=6) for trial in problem.trials))
    scores = methods.attention_to_copied(problem)
    own, _ = problem.attention(problem.trials[0].target)
    other, _ = problem.attention(problem.trials[1].target)
    place = problem.sites.index("decoder.2.self_attn.head.1")
    assert float(scores[place]) == pytest.approx(float(own[1, 1, -1] + other[1, 1, -1]) / 2)


def test_clips_are_brought_to_one_length():
    assert {len(clip) for clip in pad_to_one_length([noise(0.5), noise(0.7)])} == {11200}


def test_a_name_that_is_taken_is_refused(monkeypatch):
    class Entry:
        name, value = "zero-ablation", "mine:method"

    monkeypatch.setattr(plugins, "entry_points", lambda group: [Entry()])
    with pytest.raises(InputError, match="choose another name"):
        methods.methods()


def test_a_method_of_ones_own_is_loaded(monkeypatch):
    class Entry:
        name, value = "mine", "mine:method"

        def load(self):
            return methods.random_order

    monkeypatch.setattr(plugins, "entry_points", lambda group: [Entry()])
    assert methods.methods()["mine"] is methods.random_order


class Fake:
    """What scoring needs of a planted model, with outcomes by what is repaired."""

    name, sites, causes, decoys = "x/y/0", ("a", "b", "c", "d"), ("b", "c"), ("d",)
    outcomes: dict = {"planted": 4.0, "repaired": -6.0, "untouched": -6.0}  # noqa: RUF012

    def outcome(self, repaired=()):
        return 4.0 - 5.0 * len({"b", "c"} & set(repaired))


def test_scores_of_a_method_by_hand():
    scores, twin = torch.tensor([0.1, 3.0, 1.0, 2.0]), torch.tensor([1.6, 0.0, 0.0, 2.0])
    found = _method_scores(Fake(), scores, twin, 1.0)
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
    posed, edits = planted

    class Half(Fake):
        ranking_trials = posed.trials

        def problem(self, trials):
            return posed

        def edited(self):
            return edited_weights(posed.model, edits)

    with pytest.raises(InnerearError, match="one finite score"):
        score_method(Half(), lambda _: torch.full((4,), torch.nan))


def test_a_method_that_cannot_be_imported_is_one_line(monkeypatch):
    class Entry:
        name, value = "mine", "my_package:mine"

        def load(self):
            raise ImportError("no module my_package")

    monkeypatch.setattr(plugins, "entry_points", lambda group: [Entry()])
    with pytest.raises(
        InputError, match=r"my_package:mine: .*'mine' cannot be loaded \(no module my_package\)"
    ):
        methods.methods()
