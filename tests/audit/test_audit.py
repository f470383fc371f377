"""An audit measures every variant once, goes on where it stopped, and marks what failed."""

from pathlib import Path

import pytest
from conftest import save_tiny
from synthetic import make_family
from typer.testing import CliRunner

from innerear.audit import stress_runs as measuring
from innerear.audit.audit import CHECKS, _added, _PublishedResults, judge
from innerear.audit.audit_table import COLUMNS, cells, failures
from innerear.audit.model_variants import variant
from innerear.audit.stress_runs import audit_tasks, measure
from innerear.cli import app
from innerear.models.loading import load_model
from innerear.protocols.encoder_lens import EncoderLensProtocol
from innerear.report.leaderboard import tables
from innerear.report.markdown import publish
from innerear.results.audit import FILE, Audit, Audited, Check, headline_audits
from innerear.results.environment import environment
from innerear.results.store import Store
from innerear.results.verify import files
from innerear.runs.plans import Options
from innerear.runs.submit import submit
from innerear.tasks.task import load_task, task_names
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import write_json

TWO = ("encoder-lens", "transcription")
VERSION = load_task("phoneme-probing").version
PUBLISHED = Path(__file__).parents[2] / "results"


def test_what_was_measured_on_another_machine_or_with_other_packages_is_no_variant():
    result = next(each for each in Store(PUBLISHED).load_all() if each.score)
    here = result.environment
    measuring._refuse_elsewhere(result, here)
    with pytest.raises(InputError, match=r"measured before on another machine.*give another --work"):
        measuring._refuse_elsewhere(result, here.model_copy(update={"cpu": "another", "gpu": None}))
    newer = here.model_copy(update={"packages": here.packages | {"torch": "9"}})
    with pytest.raises(InputError, match=r"with other packages \(torch"):
        measuring._refuse_elsewhere(result, newer)


def planted_audit(outcome="fail"):
    """One metric, one check."""
    check = Check(name="damage", outcome=outcome, says="not monotone (τ = 0.10): 1 → 2")
    metric = Audited(
        task="phoneme-probing", version=VERSION, model="m", headline="accuracy", direction="higher",
        unit="fraction", clips=56, n=1200, value=0.8, error=0.01, checks=[check],
    )  # fmt: skip
    return Audit(
        created="2026-01-02T03:04:05+00:00", cpu_s=1.0, levels=[0.1], seeds=[2], metrics=[metric],
        environments={environment("cpu").machine: environment("cpu")},
    )  # fmt: skip


def audit_of(*metrics):
    """An audit of metrics as (task, model, version, n)."""
    (one,) = planted_audit().metrics
    made = [
        one.model_copy(update={"task": task, "model": model, "version": version, "n": n})
        for task, model, version, n in metrics
    ]
    return planted_audit().model_copy(update={"metrics": made})


def test_an_audit_of_some_tasks_keeps_what_an_earlier_one_found_of_others():
    phones, abx, repetition = (load_task(name).version for name in ("phoneme-probing", "abx", "repetition"))
    earlier = audit_of(
        ("phoneme-probing", "m", phones, 1), ("phoneme-probing", "other", phones, 1),
        ("accent", "m", 1, 1), ("abx", "m", abx, 1), ("repetition", "", repetition, 0),
    )  # fmt: skip
    now = audit_of(
        ("phoneme-probing", "m", phones, 2), ("repetition", "m", repetition, 2), ("abx", "", abx, 0)
    )
    joined = now.joined(earlier)
    assert [(each.task, each.model, each.n) for each in joined.metrics] == [
        ("phoneme-probing", "other", 1), ("abx", "m", 1), ("phoneme-probing", "m", 2), ("repetition", "m", 2),
    ]  # fmt: skip
    assert joined.cpu_s == 2


def test_a_task_whose_audit_is_of_a_former_version_is_listed_as_not_run(tmp_path):
    version = load_task("accent").version
    earlier, now = (
        audit_of(("accent", "m", version - 1, 1)),
        audit_of(("abx", "m", load_task("abx").version, 1)),
    )
    made = _added(now, earlier, _PublishedResults(Store(tmp_path)))
    listed = {(each.task, each.model) for each in made.metrics}
    assert {("abx", "m"), ("accent", ""), ("mitigation", "")} <= listed
    assert {task for task, _ in listed} == {name for name in task_names() if name != "speed"}


def test_what_other_packages_or_settings_found_is_not_joined_and_other_machines_are(tmp_path):
    here = environment("cpu")
    earlier = planted_audit()
    earlier.refuse_others(here, [0.1], [2])
    with pytest.raises(InputError, match=r"noise of \[0.1\] and seeds \[2\]"):
        earlier.refuse_others(here, [0.1], [3])
    other = here.model_copy(update={"cpu": "Another", "packages": {"torch": "1.0"}})
    earlier.refuse_others(other, [0.1], [2])
    now = planted_audit().model_copy(update={"environments": {"Another": other}})
    assert now.joined(earlier).environments == {here.machine: here, "Another": other}
    older = planted_audit().model_copy(
        update={
            "environments": {here.machine: here.model_copy(update={"packages": {"torch": "1.0"}})},
            "levels": list(measuring.LEVELS), "seeds": list(measuring.SEEDS),
        }
    )  # fmt: skip
    write_json(tmp_path / FILE, older.model_dump(mode="json"))
    ran = CliRunner().invoke(app, ["audit", "--tasks", "encoder-lens", "--output", str(tmp_path / FILE)])
    assert isinstance(ran.exception, InputError)
    assert f"torch 1.0, and this is {here.packages['torch']}" in str(ran.exception)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "results")
    for result, items in make_family():
        made.save(result, items)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny("moonshine", tmp_path_factory.mktemp("models") / "tiny"))


def test_a_tiny_model_is_audited_and_what_is_known_is_not_measured_again(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "LEVELS", (0.5, 1.0))
    monkeypatch.setattr(measuring, "SEEDS", (2,))
    task = load_task("transcription").model_copy(update={"noise": None, "limit": 4})
    monkeypatch.setattr(measuring, "audit_tasks", lambda *_: (task,))
    options, said = Options(tmp_path / "audit"), []
    found = measure(folder, [task], options, said.append)
    assert not any("already" in line for line in said)
    names = {result.model.name for result in Store(options.output).load_all()}
    assert names == {
        "tiny (audit)", "tiny (noise 0.5)", "tiny (noise 1)", "tiny (shuffled)", "tiny (float64)",
        "tiny (bfloat16)", "tiny (float16)",
        f"tiny ({found.threads} threads)",
    }  # fmt: skip
    half = next(r for r in Store(options.output).load_all() if r.model.name == "tiny (bfloat16)")
    assert half.environment.precision == "bfloat16", "as a run with --dtype has it"
    said.clear()
    again = measuring.run_tasks(lambda: variant(load_model(folder), "audit"), [task], options, said.append)
    assert [line for line in said if line] == [
        "tiny (audit) · transcription on innerear-speech: already measured"
    ]
    assert again["transcription"].value == found.intact["transcription"].value
    verdict = judge(task, found, Store(options.output), _PublishedResults(Store(tmp_path / "none")))
    assert tuple(check.name for check in verdict.checks) == CHECKS
    assert verdict.check("damage").outcome == "not run"  # three degrees are too few
    assert verdict.check("precision").outcome == "pass"
    assert verdict.check("half").values["values"].keys() == {"bfloat16", "float16"}
    assert verdict.check("batch").outcome == "not run"
    assert len(verdict.check("seeds").values["values"]) == 2
    assert (verdict.headline, verdict.clips) == ("wer", 4)
    assert verdict.error >= 0
    assert verdict.n > 20


def test_a_task_that_fails_alone_does_not_take_the_others_with_it(folder, tmp_path, monkeypatch):
    def refuse(self, listener, heard, device):
        raise InnerearError("nothing to hear")

    monkeypatch.setattr(EncoderLensProtocol, "measure", refuse)
    tasks = [load_task(name).model_copy(update={"noise": None, "limit": 4}) for name in TWO]
    made = measuring.run_tasks(
        lambda: variant(load_model(folder), "audit"), tasks, Options(tmp_path / "a"), lambda _: None
    )
    assert made[TWO[0]].value is None
    assert made[TWO[0]].reason == "nothing to hear"
    assert made[TWO[1]].value >= 0


def test_the_suite_and_what_is_outside_of_it_cover_all_tasks():
    audited = {task.id for task in audit_tasks()}
    assert audited <= set(task_names())
    assert {task.id for task in audit_tasks((), measuring.AROUND)} <= audited
    assert audit_tasks(["repetition"])[0] == load_task("repetition")
    assert audit_tasks(["phoneme-probing"])[0].clips_per_speaker == 2


def test_a_note_says_on_which_model_and_corpus_the_audit_was_done():
    (audited,) = planted_audit().metrics
    assert audited.failures[0].startswith(
        f"damage (v{VERSION}, on m with 56 clips of innerear-speech): not monotone"
    )
    for other in ({"version": 2}, {"task": "unknown"}):  # of which the register does not know the corpus
        assert " on m with 56 clips)" in audited.model_copy(update=other).failures[0]
    everything = (*audit_tasks(), *audit_tasks((), measuring.AROUND))
    assert all(task.corpus == load_task(task.id).corpus for task in everything), "corpora are the tasks' own"


def test_what_failed_is_marked_in_the_leaderboard_with_its_reason(store):
    (before,) = tables(store)
    assert not any("†" in column for column in before.columns)
    write_json(store.folder / FILE, planted_audit().model_dump(mode="json"))
    (table,) = tables(store)
    assert "accuracy ↑ †" in table.columns
    said = f"damage (v{VERSION}, on m with 56 clips of innerear-speech): not monotone (τ = 0.10): 1 → 2."
    assert f"† audit, {said}" in table.notes
    assert "† audit, damage" in publish(store).read_text()
    write_json(store.folder / FILE, planted_audit("pass").model_dump(mode="json"))
    assert tables(store)[0].columns == before.columns


def test_reports_beside_the_results_are_no_results(store, tmp_path):
    count = len(store.paths())
    for name in (FILE, "validation.json"):
        write_json(store.folder / name, planted_audit().model_dump(mode="json"))
    assert len(store.paths()) == len(files([store.folder])) == count
    assert len(submit(files([store.folder]), Store(tmp_path / "into")).refused) >= count  # toys are refused


def test_a_damaged_audit_is_told(tmp_path):
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(InnerearError, match="not an audit of this version"):
        headline_audits(tmp_path)


def test_the_table_says_what_failed():
    audit = planted_audit()
    row = dict(zip(COLUMNS, cells(audit.metrics[0]), strict=True))
    assert row["verdict"] == "fails"
    assert row["damage"].startswith("✗")
    assert row["batch"] == "–"
    lines = list(failures(audit))
    assert lines[0] == "phoneme-probing (m) fails damage: not monotone (τ = 0.10): 1 → 2"
    assert lines[-1].startswith("1 metrics, 1 checks: 0 pass, 1 fail, 0 not run")


def test_an_audit_of_nothing_is_an_error(folder, tmp_path, monkeypatch):
    def refuse(self, listener, heard, device):
        raise InnerearError("nothing to hear")

    monkeypatch.setattr(EncoderLensProtocol, "measure", refuse)
    tasks = [load_task("encoder-lens").model_copy(update={"noise": None, "limit": 4})]
    with pytest.raises(InnerearError, match="no task could be measured; the first: nothing to hear"):
        measure(folder, tasks, Options(tmp_path / "a"))
