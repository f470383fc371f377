"""Write docs/reproducibility.md: how far the published numbers move on other machines.

`python docs/reproducibility.py FOLDER…` compares results that were measured on another machine with the
published ones, keeps what it finds in results/machines.json, and writes the page. Pairs of models are those
of all folders together, so a call has the folders of one machine. What is of results that are no longer
published is dropped; without a folder, that is all, and the page is written anew.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from innerear.report.markdown import grid
from innerear.report.ranking import tie_letters
from innerear.results.machines import FILE, Machines, Repeated, RepeatedPair, machines, measured_again
from innerear.results.schema import Result
from innerear.results.store import Store, read_result
from innerear.stats.intervals import holm
from innerear.tasks.task import load_task
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import write_bytes, write_json

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reproducibility.md"
NONE = "–"
HEADLINE, POINT, ALPHA = 0.001, 0.002, 0.05
"""The goals, how far a headline and a point of a curve may move; and the level of verdicts."""
RANKED = ("model", "method")

HEAD = """# The same numbers on every machine

Processors sum in different orders, so that features differ in their last digits from one make to another,
and a choice between candidates that are nearly equal can turn out differently. This page says how far
published numbers move. It is written by

```
innerear reproduce results/phoneme-probing results/speaker-gender results/accent results/abx --work again
python docs/reproducibility.py again/*/results
```

of folders of results that were measured on one other machine, by `innerear reproduce` or `innerear run`; what
it finds is kept in `results/machines.json`. A result and its repetition have the same hashes of task, model
and corpora, and machines are named as results name them: a processor with the vector instructions that torch
uses on it. Older results name the processor alone; those of *phoneme-probing*, *speaker-gender* and *accent*
on AMD EPYC were measured with AVX-512. The goals: a headline within 0.001, a point of a curve within 0.002,
the same letters.

*Headline*, *curve point* and *p* have the largest difference of a table, and whose it is. p is that of two
models, twins or floors, without Holm's correction. *Letters* are those of tied models, with Holm's
correction over the models that were measured on both machines, also where the leaderboard shows no ranks.
"""
TOLERANCES = """## Tolerances

How far a headline may be from the published one on another machine (`innerear reproduce`, `innerear verify`)
is said by the register: the `tolerance` of its task, `task.yaml` in [tasks/](../tasks/README.md), whatever a
result says of itself. It covers what was measured here; a test fails where it does not.
"""
COMPARE = """`innerear compare` marks verdicts that would turn if p moved as far as that of the task did here
([how](statistics.md#verdicts-near-their-threshold)).
"""


CHOICES = """## Why numbers move

Features differ in their last digits, and so do the probes fitted to them. What is counted then moves in
steps.

- **An item near the boundary of a probe changes sides.** One clip of 168 is 0.006 of an accuracy, one of 24
  on dev is 0.010 of a mean over four folds: more than the goal for curves, which no curve over fewer than
  500 items keeps if one item moves. The order of layers that are equal changes with it, and so does the
  agreement of two probe heads on it (*2nd head*; by 0.07 for moonshine-tiny on *speaker-gender*).
- **A choice falls differently.** Probing tasks choose C and the layer by log-likelihood on dev, which moves
  as little as the features do. Choices by accuracy on dev, as older versions of these tasks made them, have
  ties: in features of moonshine-tiny changed at random by 10⁻⁶ of their size, one of its 28 choices of C for
  *phoneme-probing* then fell differently, and the headline moved by 0.002, selectivity by 0.022. Likelihood
  on dev moves, too: fits end within 3 · 10⁻⁶ of the least log-loss of training, and where C is large that
  leaves some thousandths of a nat to chance on dev. With the kernels of AVX2 in place of AVX-512 on one
  machine (moonshine-tiny and whisper-tiny.en, their twins and floors; *phoneme-probing*, *speaker-gender*
  and *accent*), 2 of 304 choices of C and no layer fell differently: no headline moved, selectivity moved by
  0.0005 at most, and one point of a curve by 0.013.
  Between AMD EPYC and Intel, both with AVX-512, 6 of 1587 choices of C fell differently, and one layer in one
  fold (*speaker-gender*, in a random twin): accuracies under another C moved by 0.03 at most (phones in
  whisper-base-random at one layer, on dev), no headline by more than 0.0003.
- **An online code moves with the end of each fit.** Its points are bits for a label, not shares, and its
  first probes learn from a few clips, whose classes can be told apart without error. Where such a fit ends
  decides how sure it is of the next clips: between AMD EPYC and Intel codes moved by 0.079 bits at most, in
  whisper-base-random, whose codes are nearly a bit or more for two classes.

The table counts the choices of C behind the published results, and those whose two best values are within a
thousandth of a nat for each item of dev. The last column is the smallest distance.
"""
NEAR = 1e-3
"""Distance of two mean log-likelihoods on dev that another machine may turn round."""


def page(found: Machines, published: Sequence[Result]) -> str:
    """The page of all that was measured again, and of how near the choices of published results are."""
    tables: dict[tuple[str, ...], list[Repeated]] = defaultdict(list)
    for each in found.results:
        tables[each.table].append(each)
    pairs = {table: [each for each in found.pairs if each.table == table] for table in tables}
    return "\n".join(
        [HEAD, *_tables(tables, pairs), *_beyond(found.results), *_choices(published), *_tolerances(found)]
    )


def _tables(
    tables: dict[tuple[str, ...], list[Repeated]], pairs: dict[tuple[str, ...], list[RepeatedPair]]
) -> Iterator[str]:
    """For each two machines, all tables that were measured on both."""
    columns = ("task", "results", "headline", "curve point", "pairs", "p", "letters", "goals met")
    between = sorted({(each.first, each.second) for results in tables.values() for each in results})
    for machines_ in between:
        own = [table for table, (first, *_) in tables.items() if (first.first, first.second) == machines_]
        results = [each for table in own for each in tables[table]]
        equal = sum(not each.differ for each in results)
        threads = sorted({each.threads for each in results})
        turned, choices = (sum(getattr(each, name) for each in results) for name in ("turned", "choices"))
        one, other = machines_
        yield f"## {f'{one} and {other}' if one != other else f'Two machines with one make of CPU: {one}'}\n"
        yield (
            f"{len(results)} results, all scores (curves apart) equal to the last bit in {equal}; threads: "
            f"{', '.join(f'{one} and {other}' for one, other in threads)}. Values of C that dev chose "
            f"differently: {turned} of {choices}.\n"
        )
        yield grid(columns, [_row(tables[table], pairs[table]) for table in own]) + "\n"


def _row(results: Sequence[Repeated], pairs: Sequence[RepeatedPair]) -> tuple[str, ...]:
    """One table: the largest differences and whose they are, and letters that changed."""
    far, bent = (max(results, key=key) for key in (lambda each: each.moved, lambda each: each.point))
    moved = max(pairs, key=lambda each: abs(each.again - each.p), default=None)
    then, now = (_letters(results, pairs, again) for again in (False, True))
    changed = [f"{name} {then[name]} → {now[name]}" for name in then if then[name] != now[name]]
    met = far.moved <= HEADLINE and bent.point <= POINT and not changed
    return (
        _table(results[0]),
        str(len(results)),
        _far(far.moved, far.model),
        _far(bent.point, f"{bent.model}, {bent.where}"),
        str(len(pairs)),
        _far(abs(moved.again - moved.p), f"{moved.a} − {moved.b}: {moved.p:.4f} → {moved.again:.4f}")
        if moved
        else NONE,
        "; ".join(changed) or ("the same" if len(then) > 1 else NONE),
        "yes" if met else "no",
    )


def _letters(results: Sequence[Repeated], pairs: Sequence[RepeatedPair], again: bool) -> dict[str, str]:
    """Letters of models that are tied by p of one machine, by model, in the order of the results."""
    names = [each.model for each in results if each.kind in RANKED]
    own = [pair for pair in pairs if {pair.a, pair.b} <= {*names}]
    adjusted = holm([pair.again if again else pair.p for pair in own])
    differ = [
        (names.index(pair.a), names.index(pair.b)) for pair, p in zip(own, adjusted, strict=True) if p < ALPHA
    ]
    return dict(zip(names, tie_letters(len(names), differ), strict=True))


def _beyond(results: Sequence[Repeated]) -> Iterator[str]:
    """All results that moved by more than the goals."""
    yield "## What moved by more\n"
    beyond = [each for each in results if each.moved > HEADLINE or each.point > POINT]
    if not beyond:
        yield "Nothing that was measured again.\n"
        return
    columns = ("task", "model", "machines", "headline", "curve point")
    yield (
        grid(
            columns,
            [
                (
                    _table(each),
                    each.model,
                    f"{each.first} → {each.second}",
                    f"{each.value:.4f} → {each.again:.4f}",
                    _far(each.point, each.where),
                )
                for each in beyond
            ],
        )
        + "\n"
    )


def _choices(published: Sequence[Result]) -> Iterator[str]:
    """How many choices of C on dev are near enough to fall differently elsewhere."""
    yield CHOICES
    gaps: dict[str, list[float]] = defaultdict(list)
    for result in published:
        for layers in result.tuned.get("dev_log_likelihood", ()):
            for grid_ in layers:
                *_, second, best = sorted(grid_)
                gaps[result.task.id].append(best - second)
    rows = [
        (name, str(len(own)), str(sum(gap < NEAR for gap in own)), f"{min(own):.1g}")
        for name, own in sorted(gaps.items())
    ]
    yield grid(("task", "choices", "near", "smallest distance"), rows) + "\n"


def _tolerances(found: Machines) -> Iterator[str]:
    """The tolerance of each task that was measured again, and how much of it was used."""
    yield TOLERANCES
    by_task: dict[str, list[Repeated]] = defaultdict(list)
    for each in found.results:
        by_task[each.task].append(each)
    rows = [
        (
            name,
            f"{load_task(name).tolerance:g}",
            str(len(results)),
            _far(max(each.moved for each in results)),
        )
        for name, results in by_task.items()
    ]
    yield grid(("task", "tolerance", "results", "largest difference of a headline"), rows) + "\n"
    yield COMPARE


def _table(each: Repeated) -> str:
    learnt_on = f", learnt on {each.learnt_on}" if each.learnt_on else ""
    return f"{each.task} ({each.corpus}{learnt_on})"


def _far(value: float, whose: str = "") -> str:
    if value == 0:
        return "0"
    text = f"{value:.4f}" if value >= 0.00005 else "< 0.0001"
    return f"{text} ({whose})" if whose else text


def together(folders: Sequence[Path], into: Store) -> None:
    """Copy the results of folders into one.

    Raises
    ------
    InputError
        If a folder has none, or two have the same one.
    """
    for folder in folders:
        paths = Store(folder).paths()
        if not paths:
            raise InputError(f"{folder}: no results here; give the folder that holds those of each task")
        for path in paths:
            result = read_result(path)
            if into.path_of(result).exists():
                raise InputError(f"{path}: another folder has this result, too; give each machine's alone")
            into.take(path, result)


def main(folders: Sequence[Path]) -> None:
    """Keep what the folders of one machine say, and write the page."""
    published = Store(ROOT / "results")
    with TemporaryDirectory() as made:
        together(folders, repeated := Store(Path(made)))
        new = measured_again(published, repeated)
    found = machines(published.folder).updated(new, published)
    write_json(published.folder / FILE, found.model_dump(mode="json"))
    write_bytes(PAGE, page(found, published.load_all()).encode())
    print(PAGE)


if __name__ == "__main__":
    try:
        main([Path(folder) for folder in sys.argv[1:]])
    except InnerearError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
