"""A tampered or inconsistent file is told; a whole one passes and is cited; a repetition needs its task."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import make_items, make_result

from innerear import reproduction
from innerear._io import sha256_json
from innerear.citing import cite
from innerear.corpora.registry import load_corpus
from innerear.errors import InnerearError, InputError
from innerear.leaderboard.compared import reproduced
from innerear.reproduction import reproduce
from innerear.store import Store, read_result, written
from innerear.tasks import load_task
from innerear.verification import files, verify


def saved(folder, value=0.8, **changes):
    spec = {"citation": "@misc{a,\n  title = {A}\n}"}
    task = {"spec": spec, "sha256": sha256_json(spec)}
    return Store(folder).save(make_result(value, task=task, **changes), make_items(value))


def test_a_whole_result_has_no_problems(tmp_path):
    path = saved(tmp_path)
    assert verify(path) == []
    assert files([tmp_path]) == [path]


def damaged(path):
    try:
        return bool(verify(path))
    except InnerearError:
        return True


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), which=st.sampled_from(["json", "items"])
)
def test_any_flipped_bit_is_told(tmp_path, share, bit, which):
    path = saved(tmp_path)
    target = path if which == "json" else path.with_suffix(".items.parquet")
    data = bytearray(target.read_bytes())
    data[int(share * len(data))] ^= 1 << bit
    target.write_bytes(bytes(data))
    assert damaged(path)
    target.unlink()


def test_what_was_sealed_anew_but_does_not_agree_is_told(tmp_path):
    path = saved(tmp_path)
    result = read_result(path)
    scores = dict(result.scores)
    scores["accuracy"] = scores["accuracy"].model_copy(update={"value": 0.9})
    changed = {**dict(result), "scores": scores, "content_sha256": "", "record_sha256": ""}
    path.write_bytes(written(type(result)(**changed)))
    found = verify(path)
    assert any("lies outside its interval" in line for line in found)
    assert any("accuracy = 0.9, but its per-item outcomes give 0.8" in line for line in found)


def test_a_renamed_file_and_a_foreign_task_hash_are_told(tmp_path):
    path = Store(tmp_path).save(make_result(0.8), make_items(0.8))
    assert any("task's hash is not that of its specification" in line for line in verify(path))
    other = path.with_name("another-0123456789.json")
    path.rename(other)
    assert any("its name should be" in line for line in verify(other))


def test_a_citation_has_each_entry_once_and_no_name_ends_it(tmp_path):
    model = {"name": "ev}il\\input{x}", "source": "50% of $5"}
    results = [read_result(saved(tmp_path, value, model=model)) for value in (0.8, 0.7)]
    text = cite(results)
    assert text.count("@misc{a,") == 1
    assert text.count("@software{innerear") == 1
    assert "50\\% of \\$5" in text
    assert "\\input" not in text.split("\n% ")[0]
    entries = text.split("\n% ")[0]
    assert entries.count("{") == entries.count("}")
    assert len(re.findall(r"^% .*accuracy 80\.0 \[78\.0, 82\.0\] \\%", text, flags=re.M)) == 1


def test_two_selections_of_a_corpus_are_two_entries_of_different_keys(tmp_path):
    corpora = ({"fingerprint": sign * 64, "items": at} for at, sign in enumerate("de"))
    text = cite([read_result(saved(tmp_path, corpus=corpus)) for corpus in corpora])
    keys = re.findall(r"^@\w+{(.*),$", text, flags=re.M)
    assert len(keys) == len(set(keys))
    assert {"toy-dddddddd", "toy-eeeeeeee"} < set(keys)
    assert text.count("key = {{toy}},") == 2


def test_a_name_cannot_leave_the_sentence_of_a_citation(tmp_path):
    model = {"name": "two\nlines}\n@misc{x,", "source": "a\nb"}
    text = cite([read_result(saved(tmp_path, model=model))])
    assert text.count("\n@misc{x,") == 0
    assert text.splitlines()[-1].startswith("% two lines} @misc{x, reaches accuracy")


def measured_again(results, folder):
    return dict(reproduce(results, folder))


def must_not_run(*_arguments, **_options):
    raise AssertionError("nothing is measured before it is sure that it can be repeated")


def spoken(value=0.8, **changes):
    """A result of the real task on the embedded corpus, as a file would hold it."""
    task = load_task("phoneme-probing").resolve(limit=28, **changes)
    corpus = task.select(load_corpus("innerear-speech"))
    heard = {"name": corpus.name, "version": corpus.version, "fingerprint": corpus.fingerprint()}
    spec = {"id": task.id, "version": task.version, "spec": task.canonical(), "sha256": task.sha256()}
    model = {"name": "log-mel", "kind": "floor", "family": "floor"}
    return make_result(value, task=spec, corpus=heard, model=model)


def test_another_corpus_is_told_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduction, "run", must_not_run)
    then = spoken()
    heard = then.corpus.model_copy(update={"fingerprint": "e" * 64})
    changed = {**dict(then), "corpus": heard, "content_sha256": "", "record_sha256": ""}
    (error,) = measured_again([type(then)(**changed)], tmp_path).values()
    assert re.match(r"corpus [0-9a-f]{12} is here, the result was of eeeeeeeeeeee", str(error))
    learnt = {**changed, "corpus": then.corpus, "train_corpus": heard}
    (error,) = measured_again([type(then)(**learnt)], tmp_path).values()
    assert "training corpus none is here, the result was of eeeeeeeeeeee" in str(error)


def test_other_weights_are_told_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduction, "run", must_not_run)
    monkeypatch.setattr(reproduction, "load_spec", lambda name: name)
    monkeypatch.setattr(reproduction, "fetch", lambda spec: SimpleNamespace(weights_sha256="d" * 64))
    then = spoken()
    model = make_result().model
    changed = {**dict(then), "model": model, "content_sha256": "", "record_sha256": ""}
    (error,) = measured_again([type(then)(**changed)], tmp_path).values()
    assert "weights dddddddddddd is here, the result was of bbbbbbbbbbbb" in str(error)


def test_results_of_a_model_are_repeated_in_one_pass_and_held_each_against_its_own(tmp_path, monkeypatch):
    plans = []

    def run(wanted, options, say, title):
        assert (options.output, options.cache) == (tmp_path / "results", tmp_path / "cache")
        plans.append(wanted)
        return [spoken(0.8), spoken(0.7, seed=1)]

    monkeypatch.setattr(reproduction, "run", run)
    results = [spoken(0.8), make_result(), spoken(0.8, seed=1)]
    found = measured_again(results, tmp_path)
    assert [len(plan.tasks) for plan in plans] == [2]
    assert plans[0].only == {(result.task.sha256, "log-mel") for result in (results[0], results[2])}
    assert (found[0].off, found[0].moved, found[0].beside) == (False, (), ())
    assert found[2].off
    assert found[2].moved[0] == ("accuracy", 0.8, 0.7)
    assert "curves" in found[2].beside
    assert isinstance(found[1], InputError)


def test_quick_published_results_are_measured_again(tmp_path):
    published = Path(__file__).parents[1] / "results"
    quick = (
        "abx/innerear-speech/log-mel", "semantic-category/innerear-words/log-mel",
        "noise/innerear-speech/log-mel", "speech-detection/innerear-nonspeech-innerear-speech/log-mel",
    )  # fmt: skip
    paths = [path for name in quick for path in published.glob(f"{name}-[0-9a-f]*.json")]
    assert len(paths) == len(quick)
    found = measured_again([read_result(path) for path in paths], tmp_path)
    told = ["\n".join(reproduced(found[at])) for at in range(len(paths))]
    assert all(text.endswith("  reproduced") for text in told), told
    said = []
    again = dict(reproduce([read_result(path) for path in paths], tmp_path, say=said.append))
    assert all(line.endswith("already measured") for line in said)
    assert [again[at].now for at in again] == [found[at].now for at in again], "it goes on where it was"


def test_a_task_that_is_not_known_any_more_cannot_be_repeated(tmp_path):
    (error,) = measured_again([read_result(saved(tmp_path))], tmp_path / "again").values()
    assert isinstance(error, InputError)
    assert "is not a task of this innerear" in str(error)


def test_a_file_that_is_no_result_is_one_line(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(InnerearError, match="schema version 1"):
        verify(path)
