"""Validation: compare innerear's numbers with published references."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from innerear.audit.validation_checks import CHECKS, Context, Measured, Unavailable
from innerear.audit.validation_references import Outcome, Reference, ReferenceCheck, Validation, references
from innerear.report.json_reports import BY_INTERVAL, beyond
from innerear.report.numbers import NONE
from innerear.results.environment import environment, make_deterministic
from innerear.results.store import Store
from innerear.util.errors import InnerearError, InputError
from innerear.util.progress import bar

COLUMNS = ("what", "model", "reference", "found", "n", "source", "outcome")


def validate(
    store: Store, data_dir: Path | None = None, models: Sequence[str] = (), only: Sequence[Reference] = ()
) -> Validation:
    """Check references against published results and live models.

    Parameters
    ----------
    store
        Published results, which the expensive checks read; each is verified on reading.
    data_dir
        Folder of human corpora and recordings.
    models
        Only check references to these models; by default all.
    only
        The references to check; by default those that come with innerear.

    Raises
    ------
    InputError
        If there is no reference to these models.
    """
    make_deterministic()
    context = Context(store, data_dir)
    chosen = [reference for reference in only or references() if not models or reference.model in models]
    if not chosen:
        raise InputError(
            f"there are no references to {', '.join(models)}; there are some to "
            + ", ".join(sorted({reference.model for reference in only or references()}))
        )
    findings = []
    with bar("checking", len(chosen)) as advance:
        for reference in chosen:
            findings.append(check(reference, context))
            advance()
    return Validation(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        findings=findings,
        environment=environment("cpu"),
    )


def check(reference: Reference, context: Context) -> ReferenceCheck:
    """Check one reference; if it cannot be checked, the outcome says what is needed and the note why."""
    measured, note, outcome = None, "", None
    try:
        measured = CHECKS[reference.check](reference, context)
    except Unavailable as unavailable:
        outcome, note = unavailable.outcome, str(unavailable)
    except InnerearError as error:
        outcome, note = "fail", str(error)
    return ReferenceCheck(
        **reference.model_dump(include={"id", "what", "model", "tolerance", "source", "read"}),
        reference=reference.value,
        outcome=outcome or judge(reference, measured),
        note=note,
        **(measured._asdict() if measured else {}),
    )


def judge(reference: Reference, measured: Measured | None) -> Outcome:
    """Whether a measured value agrees with the reference."""
    assert measured is not None
    if isinstance(reference.value, list) or isinstance(measured.value, list):
        return "pass" if measured.value == reference.value else "fail"
    low = measured.value if measured.low is None else measured.low
    high = measured.value if measured.high is None else measured.high
    slack = reference.tolerance + 1e-9
    return "pass" if low <= reference.value + slack and high >= reference.value - slack else "fail"


def cells(finding: ReferenceCheck) -> tuple[str, ...]:
    """One row under `COLUMNS`."""
    bounds = (
        "" if finding.low is None or finding.high is None else f" [{finding.low:.3g}, {finding.high:.3g}]"
    )
    found = finding.note or NONE if finding.value is None else f"{_formatted(finding.value)}{bounds}"
    by_interval = finding.outcome == "pass" and beyond(finding.value, finding.reference, finding.tolerance)
    slack = f" ± {finding.tolerance:g}" if finding.tolerance else ""
    return (
        finding.what,
        finding.model,
        f"{_formatted(finding.reference)}{slack}",
        found,
        NONE if finding.n is None else f"{finding.n:,}",
        finding.source if finding.read else f"{finding.source} ?",
        f"pass {BY_INTERVAL}" if by_interval else finding.outcome,
    )


def _formatted(value: float | list[tuple[int, int]]) -> str:
    return (
        " ".join(f"({layer}, {head})" for layer, head in value) if isinstance(value, list) else f"{value:.4g}"
    )
