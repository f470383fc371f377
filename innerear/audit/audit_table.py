"""An audit as a table, and what failed in words."""

from collections.abc import Iterator
from statistics import median

from innerear.audit.audit import CHECKS
from innerear.report.leaderboard import NONE, number
from innerear.results.audit import Audit, Audited

COLUMNS = ("task", "model", "headline", "error", "can tell", "n", *CHECKS, "verdict")
LEGEND = (
    "Headline of the untouched model on the audit's share of clips. Error: standard error over clusters "
    "of items. Can tell: smallest difference that a paired test finds four times in five, here and (after "
    "the bar) in the published results. Seeds: standard deviation over seeds of the split. Damage: Kendall's "
    "τ between noise on the weights and the loss. Shuffled: change with the encoder's blocks in another "
    "order. Batch, precision, threads: change with several clips in a pass, in float64, with another number "
    "of threads. Human: median τ between layer curves on synthesised and human speech. Planted: change at "
    "the layer at which phones were taken away by weight surgery. – was not run, and the reason is in the "
    "JSON; ✗ failed."
)


def cells(metric: Audited) -> tuple[str, ...]:
    """A row under `COLUMNS`."""
    value = NONE if metric.value is None else number(metric.value, metric.unit)
    told = [
        NONE if each is None else number(each, metric.unit)
        for each in (metric.detectable, metric.published_detectable)
    ]
    return (
        metric.task,
        metric.model or NONE,
        f"{metric.headline} {value}",
        NONE if metric.error is None else number(metric.error, metric.unit),
        " | ".join(told),
        f"{metric.n:,}",
        *(_figure(metric, name) for name in CHECKS),
        "fails" if metric.failed else "passes" if metric.value is not None else "not run",
    )


def failures(audit: Audit) -> Iterator[str]:
    """What failed, one line for each task and check; then how many passed and were not run."""
    for metric in audit.metrics:
        for check in metric.failed:
            yield f"{metric.task} ({metric.model or 'published'}) fails {check.name}: {check.says}"
    outcomes = [check.outcome for metric in audit.metrics for check in metric.checks]
    counts = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("pass", "fail", "not run"))
    yield f"{len(audit.metrics)} metrics, {len(outcomes)} checks: {counts}; {audit.cpu_s:.0f} s of CPU"


def _figure(metric: Audited, name: str) -> str:
    """The figure of a check, marked where it failed."""
    check = metric.check(name)
    if check is None or check.outcome == "not run":
        return NONE
    facts = check.values
    match name:
        case "seeds":
            text = number(float(str(facts["sd"])), metric.unit)
        case "damage":
            text = f"{float(str(facts['tau'])):.2f}" if "tau" in facts else "0"
        case "shuffled":
            text = number(float(str(facts["difference"])), metric.unit, signed=True)
        case "batch" | "precision" | "threads":
            text = number(float(str(facts["after"])) - float(str(facts["before"])), metric.unit, signed=True)
        case "planted":
            text = number(float(str(facts["after"])) - float(str(facts["before"])), metric.unit, signed=True)
        case "human":
            taus = [float(str(tau)) for tau in facts["taus"]] if isinstance(facts["taus"], list) else []
            text = f"{median(taus):.2f}" if taus else "yes"
        case _:
            text = "yes"
    return f"✗ {text}" if check.outcome == "fail" else text
