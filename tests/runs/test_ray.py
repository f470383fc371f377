"""On a Ray cluster of several nodes a run gives the bytes of a local one, also where a node dies halfway.

To start Ray takes longer than most other tests together, so that these are run on their own: `tox -e ray`.
All that needs no cluster is in `test_elsewhere.py`.
"""

import psutil
import pytest
from conftest import save_tiny
from test_elsewhere import contents, logged

from innerear.runs.plans import Options, plan
from innerear.runs.runner import run
from innerear.util.errors import InnerearError, InputError
from innerear.util.ray_cluster import RayCluster

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

pytestmark = pytest.mark.cluster
SMALL = {"object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster():
    """A head that only leads, and two nodes with a CPU each."""
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
    for _ in range(2):
        made.add_node(num_cpus=1, **SMALL)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    model = str(save_tiny("moonshine", tmp_path_factory.mktemp("models") / "tiny"))
    return plan([model], ["abx"], limit=28)


@pytest.fixture(scope="module")
def alone(wanted, tmp_path_factory):
    """What a run on this machine finds."""
    folder = tmp_path_factory.mktemp("alone")
    run(wanted, Options(folder / "runs", cache=folder / "cache"))
    return contents(folder / "runs")


def works(node):
    """Whether a node has a process that works for us now."""
    raylet = node.all_processes["raylet"][0].process.pid
    titles = (" ".join(child.cmdline()) for child in psutil.Process(raylet).children())
    return any("_on_node" in title for title in titles)


def test_what_no_node_has_is_refused_at_once(cluster):
    with (
        pytest.raises(InputError, match="no node of the Ray cluster has 64 CPUs"),
        RayCluster(cluster.address, cpus=64),
    ):
        pass


def test_small_units_are_shared_out_in_order_and_errors_come_back(cluster):
    def refuse(unit):
        if unit == 3:
            raise InputError("no such clip")
        return unit

    with RayCluster(cluster.address, cpus=1) as executor:
        assert list(executor.map(lambda unit: unit**2, range(4))) == [0, 1, 4, 9]
        with pytest.raises(InputError, match="no such clip"):
            list(executor.map(refuse, range(6)))


def test_a_process_that_dies_each_time_is_given_up(cluster):
    def die(_):
        import os

        os.kill(os.getpid(), 9)

    told = []
    with (
        RayCluster(cluster.address, cpus=1, notify=told.append) as executor,
        pytest.raises(InnerearError, match="lost 3 times"),
    ):
        list(executor.map(die, range(1)))
    assert len(told) == 2


def test_a_node_that_dies_costs_no_result(cluster, wanted, alone, tmp_path):
    output, lines, killed = tmp_path / "runs", [], []

    def kill(line):
        lines.append(line)
        if line.startswith("tiny ·") and not killed:
            (node,) = [node for node in cluster.worker_nodes if works(node)]
            killed.append(node)
            cluster.remove_node(node, allow_graceful=False)

    executor = RayCluster(cluster.address, cpus=1, notify=lines.append)
    run(wanted, Options(output, cache=tmp_path / "cache"), kill, executor=executor)
    assert any("begun again" in line for line in lines)
    assert contents(output) == alone
    assert {status for _, status in logged(output)} == {"FINISHED"}
