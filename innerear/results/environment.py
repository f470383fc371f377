"""The environment of a run, recorded in every result: versions, hardware, determinism.

Torch is imported where it is needed, so that reading results does not load it.
"""

import os
import platform
import resource
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from innerear.results.schema import Environment
from innerear.util.version import __version__
from innerear.util.words import counted

PACKAGES = (
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "scikit-learn",
    "datasets",
    "soundfile",
    "soxr",
    "pyarrow",
    "jiwer",
    "whisper-normalizer",
    "librosa",
    "tokenizers",
)
"""Packages whose versions may change a score."""


def environment(device: str, precision: str = "float32") -> Environment:
    """Describe this machine and its packages, for runs on `device` with weights of this type."""
    import torch

    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return Environment(
        innerear=__version__,
        python=platform.python_version(),
        packages=packages(),
        git_commit=_git_commit(),
        platform=platform.platform(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        gpu=gpu,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        precision=f"{precision} (tf32)" if _tf32(device) else precision,
    )


def machine(device: str) -> str:
    """What timings on a device are of: the GPU, all of them (`auto`), or the processor and its threads."""
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        used = range(torch.cuda.device_count()) if device == "auto" else [device]
        names = Counter(map(torch.cuda.get_device_name, used))
        return ", ".join(f"{count} × {name}" if count > 1 else name for name, count in names.items())
    if device in ("cpu", "auto"):
        return f"{_cpu()}, {counted(torch.get_num_threads(), 'thread')}"
    return f"{_cpu()}, {device}"


@cache
def processor(device: str) -> str:
    """The make of the GPU (of `auto`, the first) or of the CPU that computes; of the CPU if there is none."""
    import torch

    kind, _, index = device.partition(":")
    if kind in ("cuda", "auto") and int(index or 0) < torch.cuda.device_count():
        return torch.cuda.get_device_name(int(index or 0))
    return f"{_cpu()}, mps" if device == "mps" else _cpu()


def origin(device: str) -> list[Any]:
    """What decides a number besides model and input: the packages, and the make of what computes."""
    return [packages(), processor(device)]


@cache
def packages() -> dict[str, str]:
    """Versions of the packages that may change a score."""
    return {name: version(name) for name in PACKAGES}


def make_deterministic() -> None:
    """Make torch deterministic: an operation that cannot give the same bits on every run raises an error."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def peak_memory_mib(device: str) -> float:
    """Peak memory: of the GPU (of `auto`, all of them) if the run used one, else of the largest process."""
    if device.startswith("cuda") or device == "auto":
        import torch

        used = range(torch.cuda.device_count()) if device == "auto" else [device]
        return sum(map(torch.cuda.max_memory_allocated, used)) / 2**20
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    kib = max(peaks) / (1024 if sys.platform == "darwin" else 1)
    return kib / 1024


def _tf32(device: str) -> bool:
    """Whether products of matrices are rounded to 19 bits on this device."""
    import torch

    return device.startswith("cuda") and torch.backends.cuda.matmul.allow_tf32


def _git_commit() -> str | None:
    """Commit of the checkout that innerear runs from; None for an installed wheel."""
    here = Path(__file__).resolve().parents[1]
    ran = subprocess.run(
        ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return ran.stdout.strip() if ran.returncode == 0 and (here.parent / ".git").exists() else None


def _cpu() -> str:
    """The processor and the vector instructions that torch uses on it, as in `AMD EPYC (AVX2)`.

    Cloud machines of several generations, whose sums differ in their last bits, give one name.
    """
    import torch

    return f"{_processor_name()} ({torch.backends.cpu.get_cpu_capability()})"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
