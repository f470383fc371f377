"""The table that a run ends with: models by tasks, and a reason for every cell without a score."""

from io import StringIO

from rich.console import Console
from synthetic import make_result

from innerear.report.cells import UNKNOWN, cells_of, cells_to_rich
from innerear.tasks.task import load_task, task_names

TASKS = [load_task(name) for name in task_names()]


def test_a_cell_without_a_result_says_why_or_that_nobody_knows():
    first, second = TASKS[:2]
    failed = {
        ("a", first.sha256()): "a has no head",
        ("b", ""): "b is damaged",
        ("", second.sha256()): "too few",
    }
    made = cells_of([], failed, TASKS[:3])
    assert made.rows == (
        ("a", ("failed [1]", "failed [2]", "failed [3]")),
        ("b", ("failed [4]", "failed [4]", "failed [4]")),
    )
    assert made.notes == ("the model has no head", "too few", UNKNOWN, "the model is damaged")
    assert made.unknown == 1
    assert made.summary.startswith("2 models × 3 tasks: 0 scores, 0 n/a, 6 failed.")


def test_what_a_run_settles_itself_keeps_no_result_from_its_cell():
    """Timings are of a machine, and long clips are heard as the model does it: the results say which."""
    task = load_task("speed")
    ran = task.resolve(machine="a processor")
    result = make_result(task={"id": "speed", "spec": ran.canonical() | {"long_form": "windows"}})
    made = cells_of([result], {}, [task])
    assert (made.unknown, made.rows[0][1][0].startswith("failed")) == (0, False)


def test_tasks_on_two_corpora_are_told_apart_by_them():
    task = TASKS[0]
    made = cells_of(
        [], {("a", ""): "no"}, [task, task.resolve(corpus="timit-sample", train_corpus=task.corpus)]
    )
    assert made.columns[0][-2:] == (task.corpus, task.metric.name)
    assert made.columns[1][-3:] == ("timit-sample", f"from {task.corpus}", task.metric.name)


def test_no_task_is_left_out_where_a_terminal_is_narrow():
    made = cells_of([], {("a-model-of-a-long-name", ""): "no"}, TASKS)
    for width in (20, 80, 140, 1000):
        tables = list(cells_to_rich(made, width))
        assert sum(len(table.columns) - 1 for table in tables) == len(TASKS)
        assert (len(tables) == 1) == (width == 1000)
    console = Console(width=140, file=StringIO())
    console.print(*cells_to_rich(made, 140))
    assert "…" not in console.file.getvalue()
