"""From the recipe to folders of models, each with a report of how it was made and what it hears."""

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from innerear.data.schema import SAMPLING_RATE
from innerear.data.text import edits
from innerear.models.loading import load_model
from innerear.models.registry import load_spec
from innerear.models.weights import fetch
from innerear.organisms import conformer, language_model
from innerear.organisms.recipe import Recipe
from innerear.organisms.speech import Heard, Script, render, script
from innerear.organisms.text import apart, probes, shuffled, wordnet, written
from innerear.organisms.tokens import byte_tokenizer, pieces
from innerear.organisms.training import Curve, one_thread
from innerear.util.io import write_json
from innerear.util.progress import bar

_TRAINING = ("examples", "written")
_MEASURED = 40
"""Kept clips, the first ones, that are heard at every checkpoint."""


class Makings:
    """The clips and texts of a recipe.

    Parameters
    ----------
    folder
        Where shards of speech, checkpoints, models and reports are written.
    work
        Folder for downloads.
    processes
        That render.
    """

    def __init__(self, recipe: Recipe, folder: Path, work: Path, processes: int) -> None:
        self.recipe, self.folder, self.work, self.processes = recipe, folder, work, processes

    @cached_property
    def script(self) -> list[Script]:
        """The clips to render."""
        return script(self.recipe, self.work)

    @cached_property
    def clips(self) -> list[Heard]:
        """The rendered clips."""
        return render(self.script, self.folder / "speech", self.work, self.processes)

    def of(self, *splits: str) -> list[Heard]:
        """The rendered clips of some splits."""
        return [clip for clip in self.clips if clip.split in splits]

    @cached_property
    def text(self) -> list[str]:
        """All that may be read without being heard: whatever is not kept for trying the models."""
        sentences = shuffled(apart(wordnet(self.work)), self.recipe.seed)[self.recipe.unseen :]
        return sentences + written(self.recipe.written, self.recipe.seed)


def speech(makings: Makings) -> dict[str, Any]:
    """Render the clips; what is known of them."""
    hours = {
        split: sum(clip.samples for clip in makings.of(split)) / SAMPLING_RATE / 3600
        for split in dict.fromkeys(clip.split for clip in makings.script)
    }
    return {
        "recipe": asdict(makings.recipe),
        "clips": Counter(clip.split for clip in makings.clips),
        "hours": hours,
        "left_out": len(makings.script) - len(makings.clips),
    }


def recognisers(makings: Makings) -> list[Path]:
    """Train the Fast Conformer, and save the models of both of its heads; errors as `fit` and `render`."""
    recipe, tokenizer = makings.recipe, pieces(makings.text)
    started = time.process_time()
    network, curve = conformer.fit(
        makings.of(*_TRAINING), makings.of("unseen")[:_MEASURED], tokenizer, recipe.seed,
        recipe.transducer_steps, makings.folder / "checkpoints",
    )  # fmt: skip
    spent = time.process_time() - started
    folders = conformer.export(network, tokenizer, makings.folder)
    for folder in folders.values():
        _report(makings, folder, curve, spent)
    return list(folders.values())


def audio_lm(makings: Makings) -> list[Path]:
    """Train the audio language model, and save it; errors as `fit` and `render`."""
    recipe, tokenizer = makings.recipe, byte_tokenizer(makings.text)
    started = time.process_time()
    network, curve = language_model.fit(
        makings.of(*_TRAINING), makings.of("unseen")[:_MEASURED], makings.text, tokenizer, recipe.seed,
        recipe.text_steps, recipe.language_model_steps, makings.folder / "checkpoints",
        language_model.ears(),
    )  # fmt: skip
    spent = time.process_time() - started
    folder = language_model.export(network, tokenizer, makings.folder)
    _report(makings, folder, curve, spent)
    return [folder]


STAGES: dict[str, Callable[[Makings], Any]] = {
    "speech": speech,
    "recognisers": recognisers,
    "audio-lm": audio_lm,
}
"""By name; the later ones render what is missing."""


def _report(makings: Makings, folder: Path, curve: Curve, spent: float) -> None:
    """Write `training.json` beside the weights: how they were made, and what they hear."""
    report = {
        **speech(makings),
        **heard(folder, makings),
        "curve": curve,
        "processor_seconds": round(spent),  # of this process: less than all if it went on from a checkpoint
        "weights_sha256": fetch(load_spec(str(folder))).weights_sha256,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {each.__name__: each.__version__ for each in (torch, transformers, tokenizers)},
    }
    write_json(folder / "training.json", report)


def heard(folder: Path, makings: Makings) -> dict[str, Any]:
    """What a saved model writes for the clips that were kept: word error rate, and words that it expected."""
    model, kept, tried = load_model(str(folder)), makings.of("unseen"), makings.of("probes")
    said: list[str] = []
    with one_thread(), bar(f"trying {folder.name}", len(kept) + len(tried)) as advance:
        for clip in [*kept, *tried]:
            said.append(model.transcribe([clip.audio()])[0].text)
            advance()
    outcomes = [edits(clip.text, text, "en") for clip, text in zip(kept, said, strict=False)]
    return {
        "wer": sum(each.errors for each in outcomes) / max(1, sum(each.reference for each in outcomes)),
        "transcripts": {clip.text: text for clip, text in zip(kept[:20], said, strict=False)},
        "collocations": collocated(
            makings.recipe, {c.text: s for c, s in zip(tried, said[len(kept) :], strict=True)}
        ),
    }


def collocated(recipe: Recipe, transcripts: dict[str, str]) -> dict[str, Counter[str]]:
    """Of the probes with a word and those with its foil, how often either is heard last, or another word."""
    counts: dict[str, Counter[str]] = {"word": Counter(), "foil": Counter()}
    for collocation, word, sentence in probes(recipe.seed, recipe.probes):
        if sentence in transcripts:
            last: Sequence[str] = transcripts[sentence].split()[-1:] or [""]
            kinds = {collocation.word: "word", collocation.foil: "foil"}
            counts[kinds[word]][kinds.get(last[0].strip(".").lower(), "another")] += 1
    return counts
