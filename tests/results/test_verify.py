"""A tampered or inconsistent file is told; a whole one passes and is cited; a repetition needs its task."""

import json
import re
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from shutil import copytree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import make_items, make_result, make_sound

from innerear.data.registry import load_corpus
from innerear.report.chart import Look
from innerear.report.cite import cite
from innerear.report.comparisons import reproduction_lines
from innerear.report.figures import charts
from innerear.results import published
from innerear.results.environment import origin
from innerear.results.known_models import model_problems
from innerear.results.store import NEEDED, Store, read_result, result_bytes
from innerear.results.verify import files, verify
from innerear.runs import reproduce as reproduction
from innerear.runs.reproduce import reproduce
from innerear.tasks.task import load_task
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_json


def parquet(change=lambda table: table):
    """Outcomes as the bytes of their file, after a change."""
    buffer = BytesIO()
    pq.write_table(change(pa.Table.from_pandas(make_items(0.8), preserve_index=False)), buffer)
    return buffer.getvalue()


def saved(folder, value=0.8, **changes):
    task = {"citation": "@misc{a,\n  title = {A}\n}"}
    return Store(folder).save(*make_sound(value, task_info=task, **changes))


def resealed(path, result, **changes):
    """A result with other fields, and hashes that fit them."""
    made = type(result)(**{**dict(result), **changes, "content_sha256": "", "record_sha256": ""})
    path.write_bytes(result_bytes(made))
    return made


def test_a_whole_result_has_no_problems(tmp_path):
    path = saved(tmp_path)
    assert verify(path) == []
    for folder in (tmp_path, path.parent.parent, path.parent):
        assert files([folder]) == [path]


@pytest.mark.parametrize("field", [{"id": "abx"}, {"version": 99}, {"protocol": "abx"}])
def test_a_task_that_is_called_otherwise_than_its_specification_is_told(tmp_path, field):
    path = saved(tmp_path)
    result = read_result(path)
    resealed(path, result, task=result.task.model_copy(update=field))
    assert any(f"the task's {next(iter(field))} is" in line for line in verify(path))


def test_a_task_whose_name_is_a_path_is_refused(tmp_path):
    path = saved(tmp_path)
    record = json.loads(path.read_text())
    record["task"]["id"] = "../../pwned"
    path.write_text(json.dumps(record))
    with pytest.raises(InnerearError, match=r"task\.id"):
        verify(path)


def test_outcomes_that_give_no_number_are_told(tmp_path):
    path = saved(tmp_path)
    result = read_result(path)
    rates = resealed(path, result, task=result.task.model_copy(update={"protocol": "bias-localisation"}))
    Store(tmp_path).save(rates, make_items(0.8).assign(outcome=0.0, weight=0.0))
    assert any("its per-item outcomes give nan" in line for line in verify(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"garbage", "not Parquet"),
        (b"PAR1" + bytes(40) + parquet()[44:], "not Parquet"),
        (parquet()[:-60] + bytes(60), "not Parquet"),
        *(
            (parquet(lambda table, name=name: table.drop_columns(name)), f"no column '{name}'")
            for name in sorted(NEEDED)
        ),
        (parquet(lambda table: table.append_column("unit", table["unit"])), "'unit' is there twice"),
        (
            parquet(lambda table: table.drop_columns("outcome").append_column("outcome", table["unit"])),
            "outcomes are of the type .*, not numbers",
        ),
    ],
)  # fmt: skip
def test_outcomes_that_were_damaged_and_sealed_again_are_one_line(tmp_path, content, said):
    path = saved(tmp_path)
    result = read_result(path)
    items = result.items
    (path.parent / items.path).write_bytes(content)
    resealed(path, result, items=items.model_copy(update={"sha256": sha256(content).hexdigest()}))
    with pytest.raises(InnerearError, match=said) as error:
        verify(path)
    assert "\n" not in str(error.value)


def test_a_result_cannot_name_the_outcomes_of_another(tmp_path):
    path = saved(tmp_path)
    result = read_result(path)
    items = result.items
    other = "moonshine-tiny-0123456789.items.parquet"
    (path.parent / items.path).rename(path.parent / other)
    resealed(path, result, items=items.model_copy(update={"path": other}))
    assert any("its per-item file should be" in line for line in verify(path))


def test_a_copy_among_the_results_is_told_and_never_ranked(tmp_path):
    path = saved(tmp_path / "runs")
    copytree(path.parent.parent, path.parent.parent.with_name("copy"))
    copy = path.parent.parent.with_name("copy") / path.parent.name / path.name
    assert verify(copy) == [], "handed on alone it is whole"
    assert any("should be" in line for line in verify(copy, placed=True))
    with pytest.raises(InnerearError, match=r"copy.*belongs to"):
        Store(tmp_path / "runs").load_all()


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
    path.write_bytes(result_bytes(type(result)(**changed)))
    found = verify(path)
    assert any("lies outside its interval" in line for line in found)
    assert any("accuracy = 0.9, but its per-item outcomes give 0.8" in line for line in found)


def test_a_headline_by_another_formula_than_its_protocols_is_refused(tmp_path):
    items = make_items(0.8)
    items["outcome"] = items.groupby("speaker").cumcount() % 5 / 4  # mean and median are 0.5 ...
    items.loc[items["outcome"] == 0.5, "outcome"] = 0.6  # ... and now 0.52 and 0.6
    assert (items["outcome"].mean(), items["outcome"].median()) == (pytest.approx(0.52), 0.6)
    path = Store(tmp_path).save(make_sound(0.6)[0], items)
    assert verify(path) == ["accuracy = 0.6, but its per-item outcomes give 0.52"]


def test_outcomes_without_a_column_of_the_formula_are_told(tmp_path):
    path = saved(tmp_path)
    result = read_result(path)
    resealed(path, result, task=result.task.model_copy(update={"protocol": "hallucination-detection"}))
    assert "the per-item outcomes have no column 'both'" in verify(path)[-1]
    resealed(path, result, task=result.task.model_copy(update={"protocol": "abx"}))
    assert "the per-item outcomes have no column 'mode'" in verify(path)[-1]


def test_a_result_of_an_unknown_protocol_is_refused(tmp_path):
    path = saved(tmp_path)
    result = read_result(path)
    unknown = resealed(path, result, task=result.task.model_copy(update={"protocol": "telepathy"}))
    assert "unknown protocol 'telepathy'" in verify(path)[-1]
    with pytest.raises(InnerearError, match="unknown protocol 'telepathy'"):
        list(charts(unknown, [], Look()))


def test_a_renamed_file_and_a_foreign_task_hash_are_told(tmp_path):
    path = saved(tmp_path)
    result = read_result(path)
    resealed(path, result, task=result.task.model_copy(update={"sha256": "e" * 64}))
    assert any("task's hash does not match its specification" in line for line in verify(path))
    other = path.with_name("another-0123456789.json")
    path.rename(other)
    assert any("should be" in line for line in verify(other))


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
    assert len(re.findall(r"^% .*accuracy 80\.0 \[\d+\.\d, \d+\.\d\] \\%", text, flags=re.M)) == 1


def test_two_selections_of_a_corpus_are_two_entries_of_different_keys(tmp_path):
    corpora = ({"fingerprint": sign * 64, "items": at} for at, sign in enumerate("de"))
    text = cite([read_result(saved(tmp_path, corpus=corpus)) for corpus in corpora])
    keys = re.findall(r"^@\w+{(.*),$", text, flags=re.M)
    assert len(keys) == len(set(keys))
    assert {"toy-dddddddd", "toy-eeeeeeee"} < set(keys)
    assert text.count("key = {{toy}},") == 2


def test_no_key_of_bibtex_comes_twice(tmp_path):
    results = [
        read_result(
            saved(tmp_path, model={"name": "mine", "parts": {"weights": sign * 64}, "source": "a~b^c"})
        )
        for sign in "de"
    ]
    run = results[0].run.model_copy(update={"created": "2031-01-01T00:00:00+00:00"})
    text = cite([results[0], type(results[1])(**{**dict(results[1]), "run": run, "record_sha256": ""})])
    keys = re.findall(r"^@\w+{(.*),$", text, flags=re.M)
    assert len(keys) == len(set(keys))
    assert {f"mine-{result.model.sha256[:8]}" for result in results} < set(keys)
    assert r"a\textasciitilde{}b\textasciicircum{}c" in text


def test_a_citation_of_the_task_cannot_move_the_cursor_or_turn_the_text(tmp_path):
    path = saved(tmp_path)
    result = read_result(path)
    citation = {"citation": "@misc{a,\n  title = {\x1b[2J\u202e}\n}"}
    text = cite([resealed(path, result, task=result.task.model_copy(update=citation))])
    assert not {"\x1b", "\u202e"} & set(text)
    assert "@misc{a,\n  title = {" in text, "lines stay"


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
    assert re.match(r"corpus differs: found [0-9a-f]{12}, expected eeeeeeeeeeee", str(error))
    learnt = {**changed, "corpus": then.corpus, "train_corpus": heard}
    (error,) = measured_again([type(then)(**learnt)], tmp_path).values()
    assert "training corpus differs: found none, expected eeeeeeeeeeee" in str(error)


def test_another_model_is_told_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduction, "run", must_not_run)
    for name in ("load_spec", "fetch"):
        monkeypatch.setattr(reproduction, name, lambda given: given)
    own = {"weights": "b" * 64, "tokenizer": "c" * 64}
    monkeypatch.setattr(reproduction, "model_parts_of", lambda spec, *_: own | {"tokenizer": "d" * 64})
    then = spoken()
    model = make_result(model={"parts": own}).model
    changed = {**dict(then), "model": model, "content_sha256": "", "record_sha256": ""}
    (error,) = measured_again([type(then)(**changed)], tmp_path).values()
    assert "its tokenizer differs: found dddddddddddd, expected cccccccccccc" in str(error)


def test_results_of_a_model_are_repeated_in_one_pass_and_held_each_against_its_own(tmp_path, monkeypatch):
    plans, folders, versions = [], [], origin("cpu")

    def run(wanted, options, say, title):
        own = options.output.parent
        assert re.fullmatch("cpu-2-threads-batch-8-[0-9a-f]{8}", own.name)
        assert (options.output, options.cache) == (own / "results", own / "cache")
        folders.append(own)
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
    monkeypatch.setattr(reproduction, "origin", lambda device: [*versions, "another"])
    measured_again(results, tmp_path)
    assert len({*folders}) == 2, "what other packages measured is not taken for a repetition"


def test_a_device_that_is_asked_for_serves_all_within_the_tolerance_and_in_its_own_folder(
    tmp_path, monkeypatch
):
    folders = []

    def run(wanted, options, say, title):
        folders.extend([options.output, options.cache])
        return [on(options.device, spoken(0.799))]

    def on(device, result):
        ran = result.run.model_copy(update={"device": device})
        return type(result)(**{**dict(result), "run": ran, "record_sha256": ""})

    monkeypatch.setattr(reproduction, "run", run)
    then = on("cuda:1", spoken(0.8))
    ((_, same),) = reproduce([then], tmp_path)
    assert (same.tolerance, same.off) == (0, True)
    ((_, found),) = reproduce([then], tmp_path, device="cpu")
    assert ("device", "cuda:1", "cpu") in found.surroundings
    assert (found.tolerance, found.off) == (load_task("phoneme-probing").tolerance, False)
    assert len(set(folders)) == 4, "what one device measured is not taken for that of another"


def test_quick_published_results_are_measured_again(tmp_path):
    published = Path(__file__).parents[2] / "results"
    quick = (
        "abx/innerear-speech/log-mel", "semantic-category/innerear-words/log-mel",
        "noise/innerear-speech/log-mel",
        "speech-detection/innerear-near-speech-innerear-nonspeech-innerear-speech/log-mel",
    )  # fmt: skip
    paths = [path for name in quick for path in published.glob(f"{name}-[0-9a-f]*.json")]
    assert len(paths) == len(quick)
    found = measured_again([read_result(path) for path in paths], tmp_path)
    told = ["\n".join(reproduction_lines(found[at])) for at in range(len(paths))]
    assert all(text.endswith("  reproduced") for text in told), told
    said = []
    again = dict(reproduce([read_result(path) for path in paths], tmp_path, notify=said.append))
    assert all(line.endswith("already measured") for line in said if line)
    assert [again[at].now for at in again] == [found[at].now for at in again], "it goes on where it was"


def test_a_task_that_is_not_known_any_more_cannot_be_repeated(tmp_path):
    (error,) = measured_again([read_result(saved(tmp_path))], tmp_path / "again").values()
    assert isinstance(error, InputError)
    assert "cannot be read by this innerear" in str(error)


def test_a_file_that_is_no_result_is_one_line(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(InnerearError, match="not a result of innerear"):
        verify(path)


@pytest.mark.parametrize(("name", "told"), [("parakeet-tdt-0.6b-v3", True), ("parakeet-rnnt-0.6b", False)])
def test_a_size_that_is_registered_as_unverified_is_no_reference(tmp_path, name, told):
    result = read_result(saved(tmp_path))
    model = result.model.model_copy(update={"name": name, "kind": "model", "parameters": 7})
    lines = list(model_problems(result.model_copy(update={"model": model})))
    assert any(f"the parameters of {name} is 7" in line for line in lines) == told
    assert any(f"the family of {name} is" in line for line in lines)


@pytest.mark.parametrize(("dtype", "fine"), [("bfloat16", True), ("float16", True), ("int8", False)])
def test_a_registered_model_may_be_measured_in_another_precision(dtype, fine):
    known = next(model for model in published.models().values() if model.kind == "model")
    parts = {**known.parts, "dtype": dtype}
    own = known.model_copy(update={"parts": parts, "sha256": sha256_json(parts)})
    said = [line for line in model_problems(make_result(model=own.model_dump())) if "dtype" in line]
    assert bool(said) is not fine
