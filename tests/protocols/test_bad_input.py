"""Every task meets every kind of bad corpus with one clear line, or with finite numbers."""

import numpy as np
import pytest
from conftest import make_item, measured, noise, tiny_model

from innerear.data.schema import Corpus, Segment
from innerear.protocols.base import NotApplicable
from innerear.protocols.registry import protocol_of
from innerear.tasks.task import load_task, task_names
from innerear.util.errors import InnerearError


def clip(at, **labels):
    words = tuple(Segment(word, 0.1 + 0.2 * k, 0.3 + 0.2 * k) for k, word in enumerate(("ax", str(at))))
    known = {
        "text": f"ax {at}", "speaker": f"s{at % 4}", "gender": ("female", "male")[at % 4 // 2],
        "accent": ("American", "British")[at % 2], "words": words,
    }  # fmt: skip
    audio = labels.pop("samples", noise(0.6, at))
    return make_item(f"c{at}", audio, **known | labels)


CORPORA = {
    "empty transcripts": lambda at: clip(at, text="", words=()),
    "one speaker": lambda at: clip(at, speaker="s", gender="female"),
    "a class of one speaker": lambda at: clip(at, gender="male" if at % 4 == 0 else "female"),
    "no words and no phones": lambda at: clip(at, words=()),
    "nothing known": lambda at: clip(at, speaker="", gender="", accent="", words=()),
    "silence": lambda at: clip(at, samples=np.zeros(9600, dtype=np.float32)),
    "one kind of sound": lambda at: clip(at, text="", words=(), extra=(("kind", "hum"),)),
}


@pytest.mark.parametrize("name", task_names())
@pytest.mark.parametrize("bad", CORPORA)
def test_bad_corpora_are_one_line_or_finite_numbers(name, bad):
    task = load_task(name)
    if name == "speed":
        task = task.resolve(measure=task.measure.model_dump() | {"repetitions": 1, "batches": [1]})
    corpus = Corpus("bad", "1", tuple(CORPORA[bad](at) for at in range(8)), "made", "none")
    try:
        found = measured(protocol_of(task, lambda _: corpus), tiny_model("whisper"))
    except (InnerearError, NotApplicable) as error:
        line = str(error)
        assert "\n" not in line
        assert len(line) > 20
        return
    assert all(np.isfinite(score.value) for score in found.scores.values())
    assert found.headline in found.scores
