"""An audit as a table, and its failures as text."""

from collections.abc import Iterator
from statistics import median

from innerear.audit.audit import CHECKS
from innerear.report.numbers import NONE, number
from innerear.results.audit import Audit, Audited

COLUMNS = ("task", "model", "headline", "error", "detectable", "n", *CHECKS, "verdict")
LEGEND = (
    "Headline: of the untouched model on the audit's selection of clips. Error: standard error over clusters "
    "of items. Detectable: smallest difference that a paired test finds with 80% power, here and (after the "
    "bar) in the published results. Seeds: standard deviation over seeds of the split. Damage: Kendall's τ "
    "between noise on the weights and the loss. Shuffled: change with the encoder's blocks in another order. "
    "Batch, precision, half, threads: change with several clips per pass, in float64, in bfloat16 or float16 "
    "(the larger), with another number of "
    "threads. Human: median τ between layer curves on synthetic and human speech. Planted: change at the "
    "layer at which weight surgery removed phones. –: not run, the reason is in the JSON. ✗: failed."
)


def cells(metric: Audited) -> tuple[str, ...]:
    """One row under `COLUMNS`."""
    value = NONE if metric.value is None else number(metric.value, metric.unit)
    detectable = [
        NONE if difference is None else number(difference, metric.unit)
        for difference in (metric.detectable, metric.published_detectable)
    ]
    return (
        metric.task,
        metric.model or NONE,
        f"{metric.headline} {value}",
        NONE if metric.error is None else number(metric.error, metric.unit),
        " | ".join(detectable),
        f"{metric.n:,}",
        *(_check_cell(metric, name) for name in CHECKS),
        "fails" if metric.failed else "passes" if metric.value is not None else "not run",
    )


def failures(audit: Audit) -> Iterator[str]:
    """One line for each failed check; then the numbers of checks that passed, failed and were not run."""
    for metric in audit.metrics:
        for check in metric.failed:
            yield f"{metric.task} ({metric.model or 'published'}) fails {check.name}: {check.says}"
    outcomes = [check.outcome for metric in audit.metrics for check in metric.checks]
    counts = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("pass", "fail", "not run"))
    yield f"{len(audit.metrics)} metrics, {len(outcomes)} checks: {counts}; {audit.cpu_s:.0f} s of CPU"


def _check_cell(metric: Audited, name: str) -> str:
    """The main number of a check, marked if the check failed."""
    check = metric.check(name)
    if check is None or check.outcome == "not run":
        return NONE
    values = check.values
    match name:
        case "seeds":
            text = number(float(str(values["sd"])), metric.unit)
        case "damage":
            text = f"{float(str(values['tau'])):.2f}" if "tau" in values else "0"
        case "shuffled":
            text = number(float(str(values["difference"])), metric.unit, signed=True)
        case "batch" | "precision" | "half" | "threads":
            text = number(
                float(str(values["after"])) - float(str(values["before"])), metric.unit, signed=True
            )
        case "planted":
            text = number(
                float(str(values["after"])) - float(str(values["before"])), metric.unit, signed=True
            )
        case "human":
            taus = [float(str(tau)) for tau in values["taus"]] if isinstance(values["taus"], list) else []
            text = f"{median(taus):.2f}" if taus else "yes"
        case _:
            text = "yes"
    return f"✗ {text}" if check.outcome == "fail" else text
