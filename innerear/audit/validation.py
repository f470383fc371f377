"""Validation: every reference checked, with its outcome."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from innerear.audit.validation_checks import CHECKS, Context, Found, Needs
from innerear.audit.validation_references import Outcome, Reference, ReferenceCheck, Validation, references
from innerear.report.leaderboard import NONE
from innerear.results.environment import environment, make_deterministic
from innerear.results.store import Store
from innerear.util.errors import InnerearError, InputError
from innerear.util.progress import bar

COLUMNS = ("what", "model", "reference", "found", "n", "source", "outcome")
LEGEND = (
    "A check passes where the reference ± its tolerance meets the interval of what is found (a value without "
    "an interval is a point). ? after a source: it was not read, the value is from notes on it or from "
    "somebody else. By its interval: the value alone is outside."
)


def validate(
    store: Store, data_dir: Path | None = None, models: Sequence[str] = (), asked: Sequence[Reference] = ()
) -> Validation:
    """Check references.

    Parameters
    ----------
    store
        Published results, from which the expensive checks are read, each verified on reading.
    data_dir
        Folder of human corpora and recordings.
    models
        Only references to these; all without any.
    asked
        The references; without any, those that come with innerear.

    Raises
    ------
    InputError
        If no reference is about these models.
    """
    make_deterministic()
    context = Context(store, data_dir)
    chosen = [each for each in asked or references() if not models or each.model in models]
    if not chosen:
        raise InputError(
            f"no reference is about {', '.join(models)}; there are some about "
            + ", ".join(sorted({each.model for each in asked or references()}))
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
    """One reference; what cannot be checked says what it needs, what breaks fails with the reason."""
    found, note, outcome = None, "", None
    try:
        found = CHECKS[reference.check](reference, context)
    except Needs as needs:
        outcome, note = needs.what, str(needs)
    except InnerearError as error:
        outcome, note = "fail", str(error)
    return ReferenceCheck(
        **reference.model_dump(include={"id", "what", "model", "tolerance", "source", "read"}),
        reference=reference.value,
        outcome=outcome or judged(reference, found),
        note=note,
        **(found._asdict() if found else {}),
    )


def judged(reference: Reference, found: Found | None) -> Outcome:
    """Whether what is found is what the reference says."""
    assert found is not None
    if isinstance(reference.value, list) or isinstance(found.value, list):
        return "pass" if found.value == reference.value else "fail"
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    slack = reference.tolerance + 1e-9
    return "pass" if low <= reference.value + slack and high >= reference.value - slack else "fail"


def cells(finding: ReferenceCheck) -> tuple[str, ...]:
    """A row under `COLUMNS`."""
    bounds = (
        "" if finding.low is None or finding.high is None else f" [{finding.low:.3g}, {finding.high:.3g}]"
    )
    found = finding.note or NONE if finding.value is None else f"{_said(finding.value)}{bounds}"
    slack = f" ± {finding.tolerance:g}" if finding.tolerance else ""
    return (
        finding.what,
        finding.model,
        f"{_said(finding.reference)}{slack}",
        found,
        NONE if finding.n is None else f"{finding.n:,}",
        finding.source if finding.read else f"{finding.source} ?",
        finding.outcome + (" by its interval" if finding.outcome == "pass" and _outside(finding) else ""),
    )


def _outside(finding: ReferenceCheck) -> bool:
    """Whether the value alone is outside of what the reference allows."""
    if isinstance(finding.value, list) or isinstance(finding.reference, list) or finding.value is None:
        return False
    return abs(finding.value - finding.reference) > finding.tolerance + 1e-9


def _said(value: float | list[tuple[int, int]]) -> str:
    return (
        " ".join(f"({layer}, {head})" for layer, head in value) if isinstance(value, list) else f"{value:.4g}"
    )
