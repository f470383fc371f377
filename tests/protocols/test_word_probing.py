"""A category written on the words is found where it is written; words on two sides of a split are refused."""

import numpy as np
import pytest
import torch
from conftest import make_item, measured, noise, tiny_model

from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.data.word_categories import word_categories
from innerear.protocols.word_probing import WordProbingProtocol
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("semantic-category")
TASK = TASK.resolve(measure=TASK.measure.model_dump() | {"probe": {"grid": [0.01]}})


def one_voice(_name):
    whole = load_corpus("innerear-words")
    voices = whole.speakers[:2]
    return whole.with_items(item for item in whole if item.speaker in voices)


def test_a_category_written_at_a_layer_is_found_there_and_not_before():
    protocol = WordProbingProtocol(TASK, one_voice)
    model = tiny_model("whisper")
    names = sorted(set(word_categories().values()))
    codes = torch.randn(len(names), 32, generator=torch.Generator().manual_seed(0))
    playing, encode = [], model.encode

    def follow(audio):
        playing.append(next(item for item in protocol.corpus if np.array_equal(item.audio(), audio[0])))
        return encode(audio)

    def write(_module, _args, states):
        states = states.clone()
        for word in playing[-1].words:
            inside = slice(int(word.start / 0.02), int(word.end / 0.02) + 1)
            states[0, inside] += 3 * codes[names.index(word_categories()[word.label.lower()])]
        return states

    model.encode = follow
    model.network.model.encoder.layers[1].register_forward_hook(write)
    found = measured(protocol, model)
    probe = [point.value for point in found.curves[0].points]
    assert probe[2] > 0.9 > 0.3 > max(probe[:2])
    assert found.scores["gain_over_phones"].low > 0.5
    assert found.scores["phone_bag"].value < 0.25
    assert found.scores["control_accuracy"].value < 0.3


def test_a_word_on_both_sides_is_refused():
    task = TASK.resolve(split=TASK.split.model_dump() | {"unit": "speaker", "folds": 2})
    protocol = WordProbingProtocol(task, lambda _: load_corpus("innerear-words"))
    with pytest.raises(InputError, match="is in training and in test of a fold"):
        measured(protocol, tiny_model("moonshine"))


def test_a_corpus_without_the_words_is_one_line():
    only = Corpus("made", "1", (make_item("a", noise(1.0), speaker="s"),), "made", "none")
    with pytest.raises(InputError, match="no clip has times of the listed words"):
        WordProbingProtocol(TASK, lambda _: only)
