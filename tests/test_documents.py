"""Links, paths and commands in the documents: they lead somewhere, exist, and can be run as printed."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main
from mutations import MUTATIONS

from innerear.cli import app
from innerear.tasks.task import load_task

TOP = Path(__file__).parents[1]
FOLDERS = (
    ".",
    "tasks",
    "tasks/*",
    "baselines",
    "docs",
    "docs/*",
    "innerear/data/corpora/*",
    "innerear/render",
    "results",
)
DOCUMENTS = sorted(path for folder in FOLDERS for path in TOP.glob(f"{folder}/*.md"))
WRITTEN = [path for path in DOCUMENTS if path.parent != TOP / "results"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"(?<![\w/~.-])((?:innerear|tests|tasks|docs|baselines|benchmarks)/[\w./-]*[\w/])")
FENCED = re.compile(r"```\w*\n(.*?)```", flags=re.S)


SECTIONS = (
    "**Question.**",
    "**Why it matters.**",
    "## Protocol",
    "## Controls",
    "## How to read it",
    "## Limits",
    "## Sources",
)


def anchors(path):
    """The anchors that GitHub and the pages of innerear give to headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_somewhere(path):
    broken = []
    for link in LINK.findall(path.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(TOP)))
def test_paths_that_are_quoted_exist(path):
    quoted = [name for name in PATH.findall(path.read_text()) if "NAME" not in name]
    assert [name for name in quoted if not (TOP / name).exists()] == []


@pytest.mark.parametrize("path", sorted(TOP.glob("tasks/*/README.md")), ids=lambda path: path.parent.name)
def test_a_card_has_all_sections_in_order_and_explains_its_columns(path):
    text = path.read_text()
    places = [text.find(f"\n{section}") for section in SECTIONS]
    assert -1 not in places
    assert places == sorted(places)
    results = [json.loads(file.read_text()) for file in TOP.glob(f"results/{path.parent.name}/*/*.json")]
    columns = {score["column"] for result in results for score in result["scores"].values()} - {""}
    headlines = {result["headline"] for result in results}
    assert sorted(name for name in columns if f"`{name}`" not in text) == []
    assert sorted(name for name in headlines if f"**{name}**" not in text) == []
    profile = load_task(path.parent.name).profile
    says = f"**profile**, so its tables have no ranks: {profile[:1].lower()}{profile[1:]}"
    assert (says if profile else "methods" if path.parent.name == "planted-causes" else "**merit**:") in text


def commands(path):
    """Lines of code blocks that call innerear, without comments, redirections and what follows `&&`.

    A launcher has the command behind its `--`, and a job of Kubernetes as its `entrypoint:`.
    """
    blocks = (block.replace("\\\n", " ") for block in FENCED.findall(path.read_text()))
    for line in (line for block in blocks for line in block.splitlines()):
        for part in line.partition("#")[0].split("&&"):
            words = shlex.split(re.split(r" -- |entrypoint:", part.partition(">")[0])[-1])
            if words[:1] == ["innerear"]:
                yield words[1:]


def assert_known(words, where):
    """A command and its options are those of the command line."""
    command = typer.main.get_command(app)
    while getattr(command, "commands", None):
        name, *words = [*words, ""]
        assert name in command.commands, f"{where}: {command.name} has no command {name!r}"
        command = command.commands[name]
    options = {name for option in command.params for name in option.opts}
    for word in words:
        if word.startswith("-"):
            assert word.partition("=")[0] in options, f"{where}: {command.name} has no {word}"


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(TOP)))
def test_commands_that_are_printed_are_known(path):
    for words in commands(path):
        assert_known(words, path.name)


def test_the_table_of_mutations_is_that_of_the_script():
    text = (TOP / "docs" / "mutations.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [(name, file) for name, file, _ in rows] == [
        (each.name, f"`innerear/{each.file}`") for each in MUTATIONS
    ]
    assert f"All {len(MUTATIONS)} are" in text
    for (_, _, failed), mutation in zip(rows, MUTATIONS, strict=True):
        expected = {re.sub(r"\[.*\]$", "", name) for name in mutation.tests}
        for name in re.findall(r"`(\S+?)`", failed):
            assert name in expected or name.partition("::")[0] in expected


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutations_can_be_made(mutation):
    assert (TOP / "innerear" / mutation.file).read_text().count(mutation.old) == 1
    for test in mutation.tests:
        name, _, function = test.partition("::")
        called = function.partition("[")[0]
        assert (f"def {called}(" if called else "def test_") in (TOP / "tests" / name).read_text()
