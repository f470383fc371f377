"""What a notebook shows of corpora, models, tasks and results: a line or two, and tables."""

import pytest
from conftest import make_item, noise, save_tiny

import innerear
from innerear.data.schema import Corpus, Segment
from innerear.models.floors import Pitch
from tests.synthetic import make_result


def test_a_corpus_and_a_clip_are_a_line_each():
    corpus = innerear.load_corpus("innerear-speech")
    assert repr(corpus).startswith("<Corpus innerear-speech ")
    assert f"{len(corpus)} clips" in repr(corpus)
    assert "of 28 speakers, synthetic" in repr(corpus)
    assert len(repr(corpus)) < 200
    assert all(len(repr(item)) < 200 for item in corpus)
    table = corpus._repr_html_()
    assert corpus.items[0].text in table
    assert len(table) < 10_000


def test_a_corpus_says_what_it_refused_and_hides_no_markup():
    item = make_item("a", noise(1.0), text="<script>" * 30, phones=(Segment("S", 0.0, 0.5),))
    corpus = Corpus("<b>c", "1", (item,), "made", "CC0", refused=(("b", "silent"),))
    assert "1 refused" in repr(corpus)
    assert "0 words and 1 phone with times" in repr(item)
    assert len(repr(item)) < 160
    assert "<b>" not in corpus._repr_html_()
    assert "<script>" not in corpus._repr_html_()


def test_models_and_floors_say_what_they_are(tmp_path):
    model = innerear.load_model(str(save_tiny("whisper", tmp_path / "tiny")))
    assert repr(model).startswith("<EncoderDecoder tiny (whisper): ")
    assert repr(model).endswith("float32 on cpu>")
    assert f"{model.encoder_layers} encoder layers, {model.decoder_layers} decoder layers" in repr(model)
    assert repr(Pitch()) == "<Pitch: the floor pitch>"


def test_a_task_and_a_plan_are_short():
    plan = innerear.plan(["whisper-tiny.en"], ["phoneme-probing"])
    assert repr(plan.tasks[0]).startswith("<Task phoneme-probing v")
    assert str(plan.tasks[0]) == repr(plan.tasks[0])
    assert len(repr(plan)) < 400


def test_a_result_is_its_headline_and_a_table_of_its_scores():
    result = make_result(0.8)
    assert repr(result) == "<Result phoneme-probing v1 on toy, whisper-base: accuracy 0.8 [0.78, 0.82]>"
    assert str(result) == repr(result)
    assert all(f"<th>{name}</th>" in result._repr_html_() for name in result.scores)
    without = make_result(status="n/a", reason="<b>it has no ears", scores={})
    assert repr(without).endswith("whisper-base: n/a, <b>it has no ears>")
    assert "<b>it" not in without._repr_html_()


@pytest.mark.parametrize("name", ["Results", "load_results"])
def test_results_are_part_of_the_public_names(name):
    assert name in innerear.__all__
    assert getattr(innerear, name).__module__ == "innerear.results.collection"
