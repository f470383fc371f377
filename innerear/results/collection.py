"""Results as a collection, for notebooks: a list that is a table of scores, too."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from innerear.results.schema import Result
from innerear.util.errors import InputError
from innerear.util.words import counted

if TYPE_CHECKING:
    import pandas as pd


class Results(list[Result]):
    """Results in an order, such as those of a folder or of a run."""

    def to_pandas(self) -> "pd.DataFrame":
        """All scores as a tidy table, one row for each.

        Returns
        -------
        pandas.DataFrame
            Columns: what was measured (`task`, `version`, `corpus`, `train_corpus`, `model`, `kind`,
            `twin_of`); the score (`score`, its name; `headline`, whether it is the task's main one; `value`,
            `low`, `high`, `n`, `unit`, `direction`); and what decides whether two rows may be compared
            (`task_sha256`, `corpus_fingerprint`, `train_fingerprint`), with `model_sha256` and
            `content_sha256` to cite. A task that does not apply to a model has one row, of its headline,
            without a value and with the `reason`.

        Examples
        --------
        >>> import innerear
        >>> scores = innerear.load_results("results").to_pandas()
        >>> headlines = scores[scores.headline & (scores.kind == "model")]
        >>> table = headlines.pivot_table(index="model", columns=["task", "corpus"], values="value")
        """
        import pandas as pd

        return pd.DataFrame([row for result in self for row in _rows(result)], columns=list(_COLUMNS))

    def __repr__(self) -> str:
        tasks = {result.task.id for result in self}
        models = {result.model.sha256 for result in self if result.model.kind == "model"}
        return (
            f"<Results: {counted(len(self), 'result')} ({counted(len(tasks), 'task')}, "
            f"{counted(len(models), 'model')}); to_pandas() has the scores>"
        )

    def _repr_html_(self) -> str:
        """Headlines, for notebooks."""
        scores = self.to_pandas()
        shown = ["task", "corpus", "model", "score", "value", "low", "high", "n", "unit", "reason"]
        return str(scores.loc[scores.headline, shown].to_html(index=False, na_rep="", max_rows=60))


def load_results(folder: str | Path) -> Results:
    """Read all results of a folder, such as that of `innerear run --output`; their hashes are checked.

    `innerear verify` holds them against the register and their per-item outcomes, too.

    Raises
    ------
    InputError
        If there are none.
    InnerearError
        If one is damaged, edited, or of another schema version.
    """
    from innerear.results.store import Store  # pandas and pyarrow, only for those who read

    found = Results(Store(Path(folder)).load_all())
    if not found:
        raise InputError(f"{folder}: no results here; make some with `innerear run`")
    return found


def _rows(result: Result) -> Iterator[dict[str, Any]]:
    train = result.train_corpus
    about = {
        "task": result.task.id, "version": result.task.version, "corpus": result.corpus.name,
        "train_corpus": train.name if train else "", "model": result.model.name, "kind": result.model.kind,
        "twin_of": result.model.twin_of or "", "reason": result.reason or "",
        "task_sha256": result.task.sha256, "corpus_fingerprint": result.corpus.fingerprint,
        "train_fingerprint": train.fingerprint if train else "", "model_sha256": result.model.sha256,
        "content_sha256": result.content_sha256,
    }  # fmt: skip
    if result.score is None:
        yield about | {"score": result.headline, "headline": True, "n": 0, "unit": "", "direction": ""}
    for name, score in result.scores.items():
        numbers = score.model_dump(include={"value", "low", "high", "n", "unit", "direction"})
        yield about | numbers | {"score": name, "headline": name == result.headline}


_COLUMNS = (
    "task", "version", "corpus", "train_corpus", "model", "kind", "twin_of", "score", "headline", "value",
    "low", "high", "n", "unit", "direction", "reason", "task_sha256", "corpus_fingerprint",
    "train_fingerprint", "model_sha256", "content_sha256",
)  # fmt: skip
