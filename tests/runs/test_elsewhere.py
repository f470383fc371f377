"""Passes are made by another executor as they are here: the same bytes, one log; a loss costs its pass alone.

The executor of these tests pickles whatever goes to a node and comes back, as a cluster does, and gives each
node a folder of its own where the folder is not shared. `test_ray.py` does the same on a cluster of Ray.
"""

import os
from dataclasses import dataclass, field

import cloudpickle
import pytest
from conftest import save_tiny
from mlflow import MlflowClient
from typer.testing import CliRunner

from innerear.cli import app
from innerear.data.registry import load_corpus
from innerear.protocols.planted_causes import PlantedCausesProtocol
from innerear.results.store import Store
from innerear.runs.failures import Unmeasured
from innerear.runs.passes import Passes
from innerear.runs.plans import Options, plan
from innerear.runs.runner import run
from innerear.tasks.task import load_task
from innerear.util.errors import InnerearError, InputError
from innerear.util.executors import PROCESSES, Executor, Processes
from innerear.util.ray_cluster import RayCluster, gpus_of_a_pass


@dataclass
class Nodes(Executor):
    """Passes in reverse order, in copies of what they need; a first attempt at those in `killed` breaks off.

    Attributes
    ----------
    folder
        Of the results of the nodes, if it is not that of the run.
    killed
        By number of a pass: how many items it yields before its node dies.
    """

    folder: object = None
    killed: dict = field(default_factory=dict)
    elsewhere = True

    def __reduce__(self):
        return Processes, ()

    def map(self, do, units, device="cpu"):
        yield from PROCESSES.map(cloudpickle.loads(cloudpickle.dumps(do)), units, device)

    def passes(self, do, units):
        for at in reversed(range(len(units))):
            there = cloudpickle.loads(cloudpickle.dumps(do))
            if self.folder:
                there.__self__._store = Store(self.folder)
            for count, made in enumerate(there(units[at])):
                if self.killed.get(at) == count:
                    del self.killed[at]
                    yield from self.passes(do, units[: at + 1])
                    return
                yield at, cloudpickle.loads(cloudpickle.dumps(made))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two of one architecture: their twins have one hash."""
    place = tmp_path_factory.mktemp("models")
    return [str(save_tiny("moonshine", place / name)) for name in ("one", "other")]


@pytest.fixture(scope="module")
def alone(models, tmp_path_factory):
    """What a run on this machine finds."""
    folder = tmp_path_factory.mktemp("alone")
    results = run(wanted(models), Options(folder / "runs", cache=folder / "cache"))
    return folder / "runs", results


def wanted(models):
    return plan(models, ["abx"], limit=28)


def contents(folder):
    results = Store(folder).load_all()
    return {path.name: path.read_bytes() for path in folder.rglob("*.parquet")} | {
        (result.task.id, result.model.name): (result.content_sha256, result.controls) for result in results
    }


def logged(folder):
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    ids = [each.experiment_id for each in client.search_experiments()]
    return [(each.info.run_name, each.info.status) for each in client.search_runs(ids)]


@pytest.mark.parametrize("shared", [True, False], ids=["shared folder", "folders of their own"])
def test_nodes_give_the_bytes_of_a_run_on_this_machine_also_if_one_dies(models, alone, tmp_path, shared):
    output, lines = tmp_path / "runs", []
    nodes = Nodes(None if shared else tmp_path / "node", killed={0: 3})
    made = run(wanted(models), Options(output, cache=tmp_path / "cache"), lines.append, executor=nodes)
    assert not nodes.killed
    assert contents(output) == contents(alone[0])
    assert [result.model.name for result in made] == [result.model.name for result in alone[1]]
    assert any(line.startswith("one · abx") for line in lines)
    assert {status for _, status in logged(output)} == {"FINISHED"}
    contents_once = {result.content_sha256 for result in made}  # of one task: each has the run of its model
    assert len(logged(output)) == 2 * len(contents_once)


def test_a_pass_that_is_given_up_costs_its_model_alone(models, tmp_path):
    class Unlucky(Nodes):
        def passes(self, do, units):
            for at, unit in enumerate(units):
                if unit.model.endswith("one"):
                    yield at, InnerearError("lost 3 times (NodeDiedError)")
                else:
                    yield from ((at, made) for made in do(unit))

    one = plan(models, ["transcription"], limit=5)
    with pytest.raises(Unmeasured, match=r"one: lost 3 times \(NodeDiedError\); the other") as caught:
        run(one, Options(tmp_path / "runs"), executor=Unlucky())
    assert [result.model.name for result in caught.value.results] == ["other"]
    with pytest.raises(InnerearError, match="lost 3 times"):
        run(one, Options(tmp_path / "strict", strict=True), executor=Unlucky())


def test_what_fails_on_a_node_is_told_as_here(models, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text('{"model_type": "whisper"}')
    both = plan([str(tmp_path / "bad"), models[0]], ["transcription"], limit=5)
    told = []
    for executor in (PROCESSES, Nodes()):
        output = tmp_path / type(executor).__name__
        with pytest.raises(Unmeasured) as caught:
            run(both, Options(output), executor=executor)
        told.append((str(caught.value), caught.value.failures))
    assert told[0] == told[1]


def test_a_node_of_other_versions_or_another_corpus_is_refused(models, tmp_path, monkeypatch):
    one = plan(models[:1], ["transcription"], limit=5)
    with monkeypatch.context() as patched:
        other = Passes.__getstate__
        patched.setattr(Passes, "__getstate__", lambda self: other(self) | {"_versions": {"torch": "1.0"}})
        with pytest.raises(
            InnerearError, match=r"a node has torch 2\..*and the machine of the command has 1\.0"
        ):
            run(one, Options(tmp_path / "versions"), executor=Nodes())
    monkeypatch.setattr("innerear.runs.jobs.Job.key", lambda self, sha: f"{os.getpid()}-{id(self)}")
    with pytest.raises(InnerearError, match="a node has another innerear-speech"):
        run(one, Options(tmp_path / "corpora"), executor=Nodes())


def test_models_with_planted_causes_are_shared_out_and_come_in_the_order_of_their_base(monkeypatch):
    class Counting(Nodes):
        shared = ()

        def map(self, do, units, device="cpu"):
            self.shared = units
            yield from super().map(do, units, device)

    monkeypatch.setattr(
        PlantedCausesProtocol, "scored_model", lambda _, recipe, base, device: (recipe, base, device)
    )
    monkeypatch.setattr(PlantedCausesProtocol, "cache", None)
    whole = load_task("planted-causes")
    own = {"loop": ["moonshine-tiny", "tiny-random-1"], "carrier": ["moonshine-tiny"]}
    protocol = PlantedCausesProtocol(
        whole.resolve(measure=whole.measure.model_dump() | {"plan": own}), load_corpus
    )
    protocol.executor = Counting()
    assert protocol._scored_models("cpu") == [
        (recipe, base, "cpu")
        for recipe, base in (
            ("loop", "moonshine-tiny"),
            ("carrier", "moonshine-tiny"),
            ("loop", "tiny-random-1"),
        )
    ]
    assert len(protocol.executor.shared) == 3


@pytest.mark.parametrize(
    ("device", "gpus", "found"),
    [("cpu", None, 0), ("cuda", None, 1), ("cuda", 0.25, 0.25), ("auto", 4, 4), ("cuda", 1, 1)],
)
def test_gpus_of_a_pass(device, gpus, found):
    assert gpus_of_a_pass(device, gpus) == found


@pytest.mark.parametrize(
    ("device", "gpus", "why"),
    [
        ("cuda:1", None, "Ray chooses the device"),
        ("cpu", 1, "--device cpu does not go with --gpus 1"),
        ("cuda", 0, "--device cuda does not go with --gpus 0"),
        ("cuda", 2, "with --device auto"),
        ("auto", 1.5, "several whole GPUs"),
    ],
)
def test_gpus_that_do_not_fit_the_device_are_refused(device, gpus, why):
    with pytest.raises(InputError, match=why):
        gpus_of_a_pass(device, gpus)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--executor", "slurm"], "no executor 'slurm'; there are processes and ray"),
        (["--cpus", "4"], "--cpus is for --executor ray"),
        (["--executor", "ray", "--device", "cuda:1"], "Ray chooses the device"),
    ],
)
def test_options_that_do_not_fit_the_executor_are_refused(options, why):
    made = CliRunner().invoke(app, ["run", *options])
    assert made.exit_code != 0
    assert why in str(made.exception)


def test_without_ray_or_without_its_cluster_there_is_one_line(monkeypatch):
    monkeypatch.setattr("innerear.util.ray_cluster.find_spec", lambda _: object())
    with pytest.raises(InputError, match=r"no Ray cluster at 127\.0\.0\.1:1 "), RayCluster("127.0.0.1:1"):
        pass
    with pytest.raises(InputError, match=r"ray:// leads from outside"), RayCluster("ray://head:10001"):
        pass
    monkeypatch.setattr("innerear.util.ray_cluster.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'innerear\[ray\]'"), RayCluster():
        pass
