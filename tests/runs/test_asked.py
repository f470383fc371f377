"""Clips that a model cannot process are listed wherever they were read, under the corpus that they are of."""

from dataclasses import replace

from conftest import make_item, noise, tiny_model

from innerear.activations.capture import Demand, capture
from innerear.activations.readings import Text
from innerear.data.schema import Corpus
from innerear.protocols.base import NotApplicable, Protocol
from innerear.runs.asked import Asked
from innerear.runs.failures import Part
from innerear.tasks.task import load_task

LONG = "longer than the model's window"


class ReadsMore(Protocol):
    """Reads the first half of the clips, and the others, and copies of them, where it measures."""

    def demands(self, listener):
        half = len(self.corpus) // 2
        return {"text": Demand(self.corpus.with_items(self.corpus.items[:half]), Text())}

    def measure(self, listener, captured, device):
        rest = self.corpus.items[len(self.corpus) // 2 :]
        copies = [replace(item, id=f"{item.id} again") for item in rest]
        self.capture(listener, [Demand(self.corpus.with_items([*rest, *copies]), Text())])
        raise NotApplicable("nothing to score")


def test_clips_refused_before_and_in_a_measurement_are_listed_once_for_each_model():
    items = [make_item(f"c{at}", noise(45 if at in (1, 3) else 0.6, at)) for at in range(4)]
    corpus, model = Corpus("clips", "1", tuple(items), "made", "none"), tiny_model("moonshine")
    asked = Asked.of(Part("text"), protocol := ReadsMore(load_task("encoder-lens"), lambda _: corpus), model)
    for _ in range(2):  # the same protocol measures one model after another
        captured = dict(zip(asked.demands, capture(model, list(asked.demands.values())), strict=True))
        assert asked.measure(model, captured, "cpu") == (None, "nothing to score")
        refused = asked.refused(protocol.corpora, captured)["test"]
        assert [name for name, _ in refused] == ["c1", "c3", "c3 again"]
        assert all(LONG in reason for _, reason in refused)
