"""Check a user's machine: packages, devices, caches, sources, speed."""

import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

from innerear.data.human import RECIPES, local_folder
from innerear.models.registry import load_spec, model_names
from innerear.models.weights import source_here
from innerear.results.environment import environment
from innerear.util.paths import cache_folder
from innerear.util.words import counted

DISK_SPACE = 2 * 2**30
"""Bytes that weights and features of the default run need, with a margin."""

_ORIGINS = {
    "package": "their packages or the hub",
    "stored": "a clone of the repository",
    "hub": "the hub",
    "local": "folders",
    "architecture": "their configurations, without weights",
}
"""Where the models with a kind of source come from; of several kinds, the first."""


@dataclass(frozen=True)
class Diagnosis:
    """One line of the report; `good` is False where the user should act."""

    name: str
    text: str
    good: bool = True


def examine() -> Iterator[Diagnosis]:
    """Examine this machine; the slowest part takes a few seconds."""
    here = environment("cpu")
    yield Diagnosis("innerear", f"{here.innerear} on Python {here.python}, {here.platform}")
    yield Diagnosis("packages", ", ".join(f"{name} {version}" for name, version in here.packages.items()))
    yield Diagnosis("processor", f"{here.cpu}, {here.cores} cores, {torch.get_num_threads()} threads in use")
    yield Diagnosis("devices", ", ".join(_devices()))
    yield _cache()
    yield from _weights()
    for name in ("timit-sample", "ravdess"):
        yield _human(name)
    yield _hub()
    yield _speed()


def _devices() -> list[str]:
    found = ["cpu"]
    found += [
        f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())
    ]
    return found + (["mps"] if torch.backends.mps.is_available() else [])


def _cache() -> Diagnosis:
    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return Diagnosis(
            "cache", f"{folder} cannot be written; set INNEREAR_CACHE to another folder", good=False
        )
    if free < DISK_SPACE:
        return Diagnosis(
            "cache",
            f"{folder}: {free / 2**30:.1f} GiB free, but 2 GiB are needed; set INNEREAR_CACHE",
            good=False,
        )
    return Diagnosis("cache", f"{folder}, {free / 2**30:.0f} GiB free")


def _weights() -> Iterator[Diagnosis]:
    """The models that are fetched, one by one, and how many are not."""
    missing: Counter[str] = Counter()
    for spec in map(load_spec, model_names()):
        if (source := source_here(spec)) is not None:
            yield Diagnosis(f"model {spec.name}", f"fetched from {source.label}")
        else:
            kinds = {source.kind for source in spec.sources}
            missing[next(where for kind, where in _ORIGINS.items() if kind in kinds)] += 1
    for where, count in missing.items():
        yield Diagnosis("models", f"{counted(count, 'other')} not fetched; they come from {where}")


def _human(name: str) -> Diagnosis:
    if folder := local_folder(RECIPES[name], None):
        return Diagnosis(f"corpus {name}", f"in {folder.parent}")
    return Diagnosis(
        f"corpus {name}", "not here; it is downloaded when a run needs it, or give its folder by --data-dir"
    )


def _hub() -> Diagnosis:
    try:
        with socket.create_connection(("huggingface.co", 443), timeout=3):
            return Diagnosis("hub", "reachable")
    except OSError:
        return Diagnosis(
            "hub", "not reachable; embedded corpora and models with package mirrors work without it"
        )


def _speed() -> Diagnosis:
    """Time matrix products of the size of a Whisper base layer, which take most of the time of a capture."""
    states, weights = torch.randn(1500, 512), torch.randn(512, 2048)
    seconds = []
    for _ in range(20):
        started = perf_counter()
        states @ weights
        seconds.append(perf_counter() - started)
    rate = 2 * 1500 * 512 * 2048 / median(seconds) / 1e9
    return Diagnosis(
        "speed", f"{rate:.0f} GFLOP/s; a 30 s window of Whisper base needs about {90 / rate:.2f} s"
    )
