"""Peak memory of probing 1, 10 and 100 times the clips, each time in a process of its own.

The clips are repeated with other noise, so that each is heard, and every layer is probed. What is compared
is the largest process, with Python and all libraries in it: this one, or one of those that fit layers.
"""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measured import Session

from innerear.activations.capture import capture
from innerear.activations.disk import needed
from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus, Item
from innerear.models.loading import load_model
from innerear.protocols.phone_probing import PhoneProbingProtocol
from innerear.tasks.task import load_task

CLIPS, TIMES = 8, (1, 10, 100)
MODEL = "organism-ctc"
NOISE = 1e-3


def repeated(corpus: Corpus, times: int) -> Corpus:
    """Every clip `times` times, each with white noise of its own."""

    def noisy(item: Item, turn: int) -> np.ndarray:
        audio = item.audio()
        return audio + NOISE * np.random.default_rng(turn).standard_normal(len(audio), dtype=np.float32)

    return corpus.with_items(
        replace(
            item,
            id=f"{item.id}.{turn}",
            audio=partial(noisy, item, turn),
            audio_sha256=sha256(f"{item.audio_sha256} {turn}".encode()).hexdigest(),
        )
        for turn in range(times)
        for item in corpus
    )


def probe(times: int, folder: Path) -> dict[str, float]:
    """Probe, and say what it took."""
    task = load_task("phoneme-probing")
    some = task.resolve(limit=CLIPS).select(load_corpus(task.corpus))
    protocol = PhoneProbingProtocol(task, lambda _: repeated(some, times))
    model = load_model(MODEL)
    demands = protocol.demands(model)
    said = needed(model, list(demands.values()), folder, 1, fresh=False)
    captured = dict(zip(demands, capture(model, list(demands.values()), cache=folder), strict=True))
    measured = protocol.measure(model, captured, "cpu")
    return {
        "clips": len(protocol.corpus),
        "frames": len(measured.items),
        "disk_mib": said / 2**20,
        "accuracy": measured.scores["accuracy"].value,
        "peak_mib": max(
            resource.getrusage(which).ru_maxrss / 2**10
            for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ),
    }


def test_memory_does_not_grow_with_the_clips(benchmark):
    session = Session(MODEL)

    def run_all():
        made = []
        for times in TIMES:
            with TemporaryDirectory() as folder:
                command = [sys.executable, __file__, str(times), folder]
                made.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        return made

    made = benchmark.pedantic(run_all, rounds=1)
    benchmark.extra_info["peak memory"] = made
    for times, row in zip(TIMES, made, strict=True):
        print(f"\n{times} x: {', '.join(f'{name} {value:.6g}' for name, value in row.items())}", end="")
    ratios = {times: row["peak_mib"] / made[0]["peak_mib"] for times, row in zip(TIMES, made, strict=True)}
    for times in TIMES[1:]:
        session.figure(f"memory at {times} / 1 × the clips", [ratios[times]], "×")
    session.record("memory")
    assert max(ratios.values()) <= 1.1


if __name__ == "__main__":
    print(json.dumps(probe(int(sys.argv[1]), Path(sys.argv[2]))))
