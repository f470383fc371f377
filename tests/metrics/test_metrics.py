"""The metrics of `evaluate` load without a network and give the numbers of jiwer and of `edits`."""

import socket

import evaluate
import jiwer
import pytest

from innerear.data.text import edits, normalise
from innerear.metrics import NAMES, load
from innerear.util.errors import InputError

REFERENCES = ["The treasure was just under the old oak bridge.", "It isn't twenty-one, Mr. Smith.", "Hello"]
PREDICTIONS = ["a treasure was under the old oak bridges", "It is 21 Mister Smith, so it is", ""]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a metric went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("name", "unit", "direct"), [("wer", "word", jiwer.wer), ("cer", "character", jiwer.cer)]
)
def test_three_ways_give_one_number(name, unit, direct):
    pairs = [[normalise(text, "en") for text in texts] for texts in (REFERENCES, PREDICTIONS)]
    counts = [edits(r, p, "en", unit) for r, p in zip(REFERENCES, PREDICTIONS, strict=True)]
    pooled = sum(c.errors for c in counts) / sum(c.reference for c in counts)
    value = load(name).compute(references=pairs[0], predictions=pairs[1])[name]
    assert value == pytest.approx(pooled)
    assert value == pytest.approx(direct(*pairs))
    assert value > 0


@pytest.mark.parametrize("name", NAMES)
def test_metrics_compare_texts_as_they_are(name):
    metric = load(name)
    assert metric.compute(references=["a b"], predictions=["a b"]) == {name: 0}
    assert metric.compute(references=["a b"], predictions=["A b"])[name] > 0


def test_an_empty_reference_is_refused_and_leaves_the_metric_usable():
    metric = load("wer")
    with pytest.raises(InputError, match="reference 1 is empty"):
        metric.compute(references=["a", " "], predictions=["a", "b"])
    assert metric.compute(references=["a"], predictions=["b"]) == {"wer": 1}


def test_an_unknown_metric_names_those_there_are():
    with pytest.raises(InputError, match="unknown metric 'bleu'; choose one of cer, wer"):
        load("bleu")


@pytest.mark.parametrize("setting", ["modules", "texts"])
def test_a_cache_that_cannot_be_written_is_told_in_one_line(setting, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    if setting == "modules":
        monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", file / "modules")
    else:
        monkeypatch.setenv("INNEREAR_CACHE", str(file / "cache"))
    with pytest.raises(InputError, match="HF_MODULES_CACHE and INNEREAR_CACHE"):
        load("wer")


def test_texts_stay_in_memory(tmp_path):
    load("wer").compute(references=["a"], predictions=["a"])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
