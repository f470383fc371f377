"""Files for other places: the workflow for users' repositories, and what a container is made of."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from test_documents import assert_known

from innerear import __version__

TOP = Path(__file__).parents[1]
WORKFLOW = TOP / "integrations" / "github.yml"


@pytest.fixture(scope="module")
def workflow():
    read = yaml.load(WORKFLOW.read_text(), yaml.BaseLoader)  # `on` is no boolean here
    assert list(read) == ["name", "on", "env", "permissions", "concurrency", "jobs"]
    return read


def steps(workflow, kind):
    return [step for job in workflow["jobs"].values() for step in job["steps"] if kind in step]


def test_the_workflow_runs_commands_that_exist(workflow):
    scripts = [step["run"] for step in steps(workflow, "run")]
    for script in scripts:
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    lines = [line.partition(" > ")[0] for script in scripts for line in script.splitlines()]
    called = [words[1:] for words in map(shlex.split, lines) if words[:1] == ["innerear"]]
    assert [words[0] for words in called] == ["run", "compare"]
    for words in called:
        assert_known(words, WORKFLOW.name)


def test_actions_are_named_by_commit_with_their_version_beside(workflow):
    used = [step["uses"] for step in steps(workflow, "uses")]
    named = re.findall(r"uses: (\S+@[0-9a-f]{40}) # v\d+\.\d+\.\d+$", WORKFLOW.read_text(), flags=re.M)
    assert used == named


def test_what_reads_the_checkpoint_may_not_write_and_what_writes_does_not_read_it(workflow):
    assert workflow["permissions"] == {}
    allowed = {name: job["permissions"] for name, job in workflow["jobs"].items()}
    assert allowed == {"measure": {"contents": "read"}, "comment": {"pull-requests": "write"}}
    assert "uses" not in workflow["jobs"]["comment"]["steps"][0]
    checkouts = [step["with"] for step in steps(workflow, "uses") if "checkout" in step["uses"]]
    assert {step["persist-credentials"] for step in checkouts} == {"false"}
    text = WORKFLOW.read_text()
    assert "secrets." not in text
    assert "pull_request_target" not in text
    # what comes from outside reaches a script as an environment variable, never as a part of it
    assert not any("${{" in step["run"] for step in steps(workflow, "run"))


def test_a_container_holds_what_the_package_is_built_of_and_states_its_version():
    text = (TOP / "Containerfile").read_text()
    assert f"\nARG VERSION={__version__}\n" in text
    assert "\nUSER 1000:1000\n" in text
    assert '\nENTRYPOINT ["innerear"]\n' in text
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, flags=re.M) for name in line.split()
    ]
    ignored = (TOP / ".dockerignore").read_text().splitlines()
    assert sorted(f"!{name}" for name in copied) == [line for line in ignored if line.startswith("!")]
    assert [name for name in copied if not (TOP / name).exists()] == []
