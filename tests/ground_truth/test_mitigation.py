"""A head that writes words where nobody speaks is found, and masking it silences the model at no cost."""

import numpy as np
import pytest
import torch
from conftest import Numbers, make_item, measured, noise, tiny_model, write_when_loud

from innerear.activations.capture import capture
from innerear.activations.readings import packed, unpacked
from innerear.data.schema import Corpus
from innerear.interventions.ablation import Sweep
from innerear.protocols import base
from innerear.protocols.base import NotApplicable
from innerear.protocols.mitigation import MitigationProtocol
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("mitigation")


def corpus():
    """Loud sounds, of which the planted model writes words, and soft speech."""
    sounds = [
        make_item(
            f"h{at}", np.clip(8 * noise(0.5, at), -0.99, 0.99), text="", speaker=f"h{at}",
            extra=(("kind", "loud"),),
        )
        for at in range(24)
    ]  # fmt: skip
    speech = [make_item(f"c{at}", noise(0.5, 90 + at), text="5 6", speaker=f"c{at}") for at in range(6)]
    return Corpus("made", "1", (*sounds, *speech), "made", "none")


def silent():
    """A model whose every position points at end-of-text, and the direction of one word."""
    model = tiny_model("whisper")
    torch.manual_seed(3)
    network, end_token = model.network, model.end_of_text
    weight = torch.randn(60, 32)
    end, word = (torch.linalg.qr(torch.randn(32, 32))[0][:, at] for at in (0, 1))
    end, word = end - end.mean(), word - word.mean()
    weight[end_token], weight[7] = 5 * end, 5 * word
    network.proj_out.weight = torch.nn.Parameter(weight)
    network.model.decoder.embed_positions.weight.data[:] = 30 * end

    class Words(Numbers):
        """Spells all but the end."""

        def decode(self, tokens):
            return super().decode([token for token in tokens if token != end_token])

    model._spelling = Words()
    return model, word


def planted(layer, head):
    """The same, where one self-attention head writes a word whenever the clip is loud."""
    model, word = silent()
    attention = model.network.model.decoder.layers[layer].self_attn
    write_when_loud(model, attention, head, word)
    return model


def test_the_hallucinating_head_is_ranked_first_and_confirmed():
    found = measured(MitigationProtocol(TASK, lambda _: corpus()), planted(1, 2))
    assert found.scores["rate_before"].value == 1
    assert found.scores["best_head"].value == 1
    assert found.scores["best_head_delta_wer"].value == 0
    assert found.scores["head_p"].value == pytest.approx(1 / 8)
    values = {(row["layer"], row["head"]): row["value"] for row in found.tables["head_map_self"]}
    assert values.pop((2, 2)) == 1
    assert set(values.values()) == {0}
    indices = {row["where"]: row["reduction"] for row in found.tables["head_indices"]}
    assert indices == {"0": 0, "1": 0, "2": 1, "3": 0}
    arms = {row["arm"]: row for row in found.tables["arms"]}
    assert arms["one head"]["where"] == "decoder.2.self_attn.head.2"
    assert arms["random direction"]["reduction"] < 1
    assert arms["one head"]["area"] == found.scores["area"].value == found.scores["reduction"].value == 1
    control = found.scores["best_control"].value
    assert control in [arms[name]["area"] for name in ("random direction", "attenuation")]
    assert found.scores["beyond_control"].value == pytest.approx(1 - control)
    assert found.headline == "beyond_control"
    assert found.tuned["control"] in ("random direction", "attenuation")
    assert found.items["outcome"].mean() == pytest.approx(found.scores["beyond_control"].value)


def test_what_loud_clips_add_to_silence_is_the_word_and_a_step_back_takes_it_out():
    model = planted(1, 2)
    model.network.model.decoder.layers[1].self_attn.out_proj.weight.data /= 10  # within the reach of a step
    found = measured(MitigationProtocol(TASK, lambda _: corpus()), model)
    arms = {row["arm"]: row for row in found.tables["arms"]}
    away, along = arms["audio minus silence, away"], arms["audio minus silence"]
    assert (away["where"], away["area"], away["delta_wer"]) == ("decoder.2", 1, 0)
    assert along["area"] == 0


def test_a_head_that_silences_the_choosing_half_only_is_not_confirmed(monkeypatch):
    protocol = MitigationProtocol(TASK, lambda _: corpus())
    model, lucky = planted(1, 2), 3

    def swept(model, demands, **options):
        made = capture(model, demands, **options)
        if not isinstance(demands[0].reading, Sweep):
            return made
        for at, values in made[0].values.items():
            rows = unpacked(values["json"])["rows"]
            for world, row in enumerate(rows):
                row["text"] = "" if world == lucky and at in protocol._chosen_on["sounds"] else "word"
            values["json"] = packed({"rows": rows})
        return made

    monkeypatch.setattr(base, "capture", swept)
    found = measured(protocol, model)
    best = next(row for row in found.tables["arms"] if row["arm"] == "one head")
    assert (best["dev_area"], best["area"]) == (1, 0)
    assert (best["where"], best["dev_reduction"], best["reduction"]) == ("decoder.1.self_attn.head.2", 1, 0)
    kept = {item.id for at, item in enumerate(protocol.sounds) if at not in protocol._chosen_on["sounds"]}
    assert set(found.items["item"]) == kept


def test_the_untouched_model_is_silent_and_the_task_says_so():
    model, _ = silent()
    with pytest.raises(NotApplicable, match="writes words on 0 of 24 sounds"):
        measured(MitigationProtocol(TASK, lambda _: corpus()), model)


def test_bad_input():
    speech = Corpus("c", "1", (make_item("a", noise(0.5), text="5", speaker="s"),), "made", "none")
    with pytest.raises(InputError, match=r"sounds without speech \(with a kind\) and clean speech"):
        MitigationProtocol(TASK, lambda _: speech)
