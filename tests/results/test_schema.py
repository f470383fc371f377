import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from synthetic import make_result

from innerear.data.registry import corpus_names, load_corpus
from innerear.results.schema import SOUNDS, Curve, CurvePoint, ModelInfo, Result, Run, Score
from innerear.results.store import Store, parquet_bytes, read_result
from innerear.util.errors import InnerearError, InputError

finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(max_size=20)
jsonable = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def items() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item": ["a", "a", "b"],
            "unit": ["a@0.1", "a@0.2", "b@0.1"],
            "speaker": ["s1", "s1", "s2"],
            "middle": [0.1, 0.2, 0.1],
            "outcome": [1.0, 0.0, 1.0],
            "correct.encoder.0": [True, False, True],
        }
    )


def test_a_result_comes_back_as_it_was_saved(tmp_path, items):
    store = Store(tmp_path)
    path = store.save(make_result(), items)
    back = store.load_all()
    assert [result.with_items(None) for result in back] == [make_result()]
    assert store.path_of(back[0]) == path
    assert store.find("phoneme-probing", "toy", "whisper-base", back[0].key) == back[0]
    pd.testing.assert_frame_equal(store.read_items(back[0]), items, check_dtype=False)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=finite, name=text, tuned=st.dictionaries(text, jsonable, max_size=3))
def test_any_finite_result_survives_the_file(tmp_path, value, name, tuned):
    made = make_result(
        scores={"accuracy": Score(value=value, n=1, unit="fraction", direction="higher")},
        model={"name": name},
        tuned=tuned,
    )
    assert read_result(Store(tmp_path).save(made)) == made


def test_the_content_hash_covers_scores_but_not_time_or_place():
    base = make_result()
    slower = make_result(run={"total_s": 99.0, "created": "2031-01-01T00:00:00+00:00"})
    elsewhere = make_result(environment={"cpu": "another"})
    better = make_result(value=0.9)
    assert base.content_sha256 == slower.content_sha256 == elsewhere.content_sha256
    assert base.content_sha256 != better.content_sha256
    assert len({base.record_sha256, slower.record_sha256, elsewhere.record_sha256}) == 3


def test_the_key_is_known_before_measuring():
    assert make_result(value=0.1).key == make_result(value=0.2).key
    assert make_result().key != make_result(model={"parts": {"weights": "b", "dtype": "float16"}}).key


@pytest.mark.parametrize(
    "change",
    [
        {"task": {"title": "Another", "question": "Why?", "citation": "@misc{x}", "tolerance": 0.5}},
        {"model": {"name": "copy", "source": "local folder", "licence": "?", "parts": {"weights": "b"}}},
        {"corpus": {"source": "a copy", "licence": "?"}},
        {"controls": {"random-twin": "a" * 64}},
        {"former_sha256": "a" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_prose_names_sources_and_controls_are_no_content(change):
    base = make_result(model={"parts": {"weights": "b"}})
    other = make_result(**{"model": {"parts": {"weights": "b"}}} | change)
    assert other.content_sha256 == base.content_sha256
    assert other.key == base.key
    assert other.record_sha256 != base.record_sha256


def test_a_hash_that_is_not_that_of_its_parts_is_refused():
    with pytest.raises(ValidationError, match="not that of its parts"):
        ModelInfo(**{**dict(make_result().model), "parts": {"weights": "other"}})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_are_finite_everywhere(bad):
    with pytest.raises(ValidationError):
        Score(value=bad, n=1, unit="fraction", direction="higher")
    with pytest.raises(ValueError, match="finite"):
        make_result(tuned={"c": [bad]})


def test_numpy_numbers_are_plain_numbers_in_the_file(tmp_path):
    point = CurvePoint(site="encoder.0", layer=0, depth=0.0, value=np.float64(0.25))
    curve = Curve(name="probe", metric="accuracy", kind="model", n=4, points=[point])
    assert '"value": 0.25' in Store(tmp_path).save(make_result(curves=[curve])).read_text()


def test_an_inconsistent_result_cannot_be_made():
    with pytest.raises(ValidationError, match="headline"):
        make_result(headline="wer")
    with pytest.raises(ValidationError, match="reason"):
        make_result(status="n/a", scores={})
    with pytest.raises(ValidationError, match="extra"):
        make_result(run={"speed": 3})


@pytest.mark.parametrize("spec", [{}, {"confidence": 95.0}, {"confidence": "0.95"}])
def test_a_task_says_how_sure_its_intervals_are(spec):
    with pytest.raises(ValidationError, match="states no confidence of its intervals"):
        make_result(task={"spec": spec})


def test_a_file_truncated_at_any_byte_is_refused(tmp_path):
    path = Store(tmp_path).save(make_result())
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:end])
        with pytest.raises(InnerearError, match=path.name) as caught:
            read_result(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"value": 0.8', '"value": 0.9', "content_sha256 does not match"),
        ('"rtfx": 20.0', '"rtfx": 90.0', "record_sha256 does not match"),
        ('"schema_version": 4', '"schema_version": 9', "schema version 9"),
        ('"schema_version": 4', '"schema_version": 3', "innerear migrate .* changes no number"),
        ('"headline": ', '"headlines": ', "headline"),
        ('"parameters": 7', '"parameters": "many"', "model.parameters"),
        ('"record_sha256"', '"record_sha257"', "record_sha257"),
    ],
)
def test_an_edited_file_is_refused_with_its_problem(tmp_path, old, new, problem):
    path = Store(tmp_path).save(make_result())
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InnerearError, match=problem) as caught:
        Store(tmp_path).load_all()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_its_hashes_is_refused(tmp_path):
    path = Store(tmp_path).save(make_result())
    for change in ({"content_sha256": "", "record_sha256": ""}, {}):
        record = json.loads(path.read_text()) | change
        if not change:
            del record["record_sha256"]
        (tmp_path / "edited.json").write_text(json.dumps(record))
        with pytest.raises(InnerearError, match="hashes are missing"):
            read_result(tmp_path / "edited.json")


def test_the_file_opens_with_what_was_measured(tmp_path):
    confusions = [{"truth": "Z", "heard": "S", "count": 31}]
    path = Store(tmp_path).save(make_result(tables={"confusions": confusions}))
    assert list(json.loads(path.read_text()))[:4] == ["schema_version", "task", "model", "corpus"]
    assert list(read_result(path).tables["confusions"][0]) == ["truth", "heard", "count"]


def test_json_that_is_no_result_is_refused(tmp_path):
    path = tmp_path / "other.json"
    for content in (b"[]", b"3", b'{"a": 1}', b"\xff\xfe", b""):
        path.write_bytes(content)
        with pytest.raises(InnerearError, match=r"other\.json"):
            read_result(path)
    with pytest.raises(InputError, match="cannot read"):
        read_result(tmp_path / "absent.json")


def test_missing_or_changed_items_are_named(tmp_path, items):
    store = Store(tmp_path)
    path = store.save(make_result(), items)
    beside = path.with_suffix(".items.parquet")
    beside.write_bytes(beside.read_bytes()[:-1])
    with pytest.raises(InnerearError, match=r"items\.parquet: its hash"):
        read_result(path)
    beside.unlink()
    with pytest.raises(InnerearError, match=r"items\.parquet: missing"):
        store.load_all()


def test_a_result_in_another_ones_place_is_refused(tmp_path):
    store = Store(tmp_path)
    other = make_result(model={"parts": {"weights": "other"}})
    target = store.path("phoneme-probing", "toy", "whisper-base", other.key)
    store.save(make_result()).rename(target)
    with pytest.raises(InnerearError, match="another task, model or corpus"):
        store.find("phoneme-probing", "toy", "whisper-base", other.key)


def test_equal_tables_have_equal_bytes(items):
    shuffled_index = items.set_index(pd.Index([7, 3, 9]))
    assert parquet_bytes(items) == parquet_bytes(items.copy()) == parquet_bytes(shuffled_index)


@pytest.mark.parametrize("change", [{"outcome": [1.0, np.nan, 0.0]}, {"speaker": None}])
def test_items_without_an_outcome_or_a_speaker_are_refused(items, change):
    with pytest.raises(InnerearError, match="per-item outcomes lack"):
        parquet_bytes(items.assign(**change))
    with pytest.raises(InnerearError, match="lack outcome"):
        parquet_bytes(items.drop(columns="outcome"))


def _save_and_die(folder: Path, result: Result, items: pd.DataFrame, at: str) -> None:
    """Die before the file that ends in `at` is put in its place."""
    replace = Path.replace

    def put(path: Path, target: Path) -> None:
        if target.name.endswith(at):
            os._exit(9)
        replace(path, target)

    Path.replace = put
    Store(folder).save(result, items)


@pytest.mark.parametrize("at", [".items.parquet", ".json"])
def test_a_kill_between_items_and_json_leaves_no_result(tmp_path, items, at):
    process = multiprocessing.get_context("fork").Process(
        target=_save_and_die, args=(tmp_path, make_result(), items, at)
    )
    process.start()
    process.join(30)
    assert process.exitcode == 9
    assert Store(tmp_path).load_all() == []
    Store(tmp_path).save(make_result(), items)
    assert len(Store(tmp_path).load_all()) == 1


def test_a_kill_while_replacing_leaves_no_json_with_foreign_items(tmp_path, items):
    store = Store(tmp_path)
    store.save(make_result(), items)
    process = multiprocessing.get_context("fork").Process(
        target=_save_and_die, args=(tmp_path, make_result(), items.assign(outcome=0.0), ".json")
    )
    process.start()
    process.join(30)
    assert store.load_all() == []


def test_names_cannot_leave_the_folder(tmp_path):
    store = Store(tmp_path)
    for name in ("../../etc/x", "hub:owner/name@1", "..", "a" * 300, "/abs"):
        path = store.save(make_result(model={"name": name}, corpus={"name": name}))
        assert tmp_path in path.resolve().parents
        assert len(path.relative_to(tmp_path).parts) == 3
    assert len(store.load_all()) == 5


def test_a_run_without_audio_heard_has_no_speed():
    assert isinstance(make_result(run={"rtfx": None}).run, Run)


def test_a_corpus_without_speakers_is_not_one_of_0_speakers():
    assert make_result().corpus.voices == "12 speakers"
    assert make_result(corpus={"speakers": 0}).corpus.voices == "no speakers stated: each clip is a cluster"


def test_sources_of_sound_are_not_called_speakers():
    joined = make_result(corpus={"name": "innerear-speech+innerear-nonspeech", "speakers": 146}).corpus
    assert joined.voices == "146 speakers and sources of sound"
    own = [entry.name for entry in corpus_names() if entry.kind == "embedded"]
    silent = {name for name in own if any(not item.is_speech for item in load_corpus(name))}
    assert silent == SOUNDS


def test_what_is_not_applicable_has_no_headline():
    with pytest.raises(ValidationError, match="n/a has no headline"):
        make_result(status="n/a", reason="no decoder")


def test_a_p_of_exactly_one_in_twenty_is_not_significant():
    assert make_result().level == 0.95
    assert not make_result().alpha > 1 / 20
