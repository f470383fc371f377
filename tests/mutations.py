"""Break innerear on purpose, one line at a time, and see that the tests tell: `python tests/mutations.py`.

Each mutation is a text replaced in a copy of the package, with the tests that must then fail. One that none
of them tells has survived, and the exit code is 1. `--markdown` prints the table of docs/mutations.md; words
after the options keep the mutations whose name has one of them.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas  # noqa: F401  what every child would import again
import pytest
import torch
import transformers.models.auto  # noqa: F401
from hypothesis import Phase
from hypothesis import settings as hypothesis

torch.set_num_threads(1)
hypothesis.register_profile(
    "first", phases=[Phase.explicit, Phase.generate]
)  # no smaller examples are sought
hypothesis.load_profile("first")
sys.dont_write_bytecode = True  # a mutation of equal length within a second would not be seen

ROOT = Path(__file__).resolve().parent.parent


class Mutation(NamedTuple):
    """`old` stands once in `file` (of the package) and becomes `new`; `tests` (of tests/) must tell."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "a hook writes into the next row", "interventions/spec.py",
        "self._write(each, states, written, at, place, offset)",
        "self._write(each, states, written, (at + 1) % len(states), place, offset)",
        (
            "interventions/test_properties.py::test_alpha_goes_straight_from_what_was_to_what_is_written[moonshine]",
            "interventions/test_interventions.py::test_worlds_of_a_led_batch_equal_one_hook_at_a_time[moonshine]",
        ),
    ),
    Mutation(
        "a hook hands back the states as they came", "interventions/spec.py",
        "return written\n\n    def _write(", "return states\n\n    def _write(",
        ("interventions/test_properties.py::test_ablating_all_of_a_layer_is_removing_it[moonshine]",),
    ),
    Mutation(
        "a patch is taken from the row before", "interventions/spec.py",
        "return states[place[each.row], own]", "return states[place[each.row] - 1, own]",
        ("interventions/test_properties.py::test_a_patch_of_the_whole_state_makes_all_that_follows_the_donors[wavlm]",),
    ),
    Mutation(
        "the slice of a head is off by one", "models/sites.py",
        "part = slice(place.head * width, (place.head + 1) * width)",
        "part = slice(max(0, place.head * width - 1), (place.head + 1) * width - 1)",
        ("models/test_sites.py::test_heads_share_out_the_input_of_the_output_projection",),
    ),
    Mutation(
        "positions are ignored", "interventions/spec.py",
        "range(offset, offset + length) if each.positions is None else each.positions",
        "range(offset, offset + length)",
        ("interventions/test_properties.py::test_alpha_goes_straight_from_what_was_to_what_is_written[hubert]",),
    ),
    Mutation(
        "generation forgets how many tokens are cached", "interventions/run.py",
        'made.written("decoder", alive, decoding.length)', 'made.written("decoder", alive)',
        (
            "interventions/test_interventions.py::test_what_never_acts_is_an_error[moonshine]",
            "interventions/test_interventions.py::test_generated_worlds_equal_one_hooked_generate_each[moonshine]",
        ),
    ),
    Mutation(
        "what never acted is no error", "interventions/spec.py",
        "if each.stack == stack and not self.fired[number, count]:", "if False:",
        ("interventions/test_properties.py::test_firings_are_counted_and_what_never_acts_is_an_error[wav2vec2]",),
    ),
    Mutation(
        "a hook that never fired is no error", "models/sites.py",
        "if silent := [site for site in actions if not fired[site]]:", "if silent := []:",
        ("models/test_sites.py::test_a_hook_that_never_fires_is_an_error",),
    ),
    Mutation(
        "test speakers are learnt from", "data/splits.py",
        "others = [speaker for speaker in speakers if speaker not in test]", "others = list(speakers)",
        ("data/test_splits.py",),
    ),
    Mutation(
        "sentences are on both sides", "data/splits.py",
        "len(readers[sentence(item.text)]) == 1", "len(readers[sentence(item.text)]) >= 1",
        ("data/test_splits.py",),
    ),
    Mutation(
        "sentences of the other corpus are learnt from", "data/splits.py",
        "heard = {sentence(item.text) for item in target if item.text} if rule.sentence_disjoint else set()",
        "heard: set[str] = set()",
        ("data/test_splits.py::test_transfer_leaves_out_sentences_that_the_target_has",),
    ),
    Mutation(
        "speakers of the other corpus are learnt from", "data/splits.py",
        "dealt(source, rule) if speaker not in taken]", "dealt(source, rule)]",
        ("data/test_splits.py::test_transfer_never_learns_from_a_speaker_or_a_clip_that_is_tested",),
    ),
    Mutation(
        "control labels that are all alike count as missed", "protocols/probing.py",
        "said = random[learn][:1]", "said = random[learn][:1] - 1",
        ("protocols/test_pooled_probing.py::test_control_labels_that_are_all_the_same_are_learnt",),
    ),
    Mutation(
        "selectivity is of another layer than accuracy", "protocols/probing.py",
        "made.at_chosen(right - made.control)[kept]", "(right - made.control)[best][kept]",
        ("protocols/test_pooled_probing.py::test_selectivity_is_of_the_layers_that_the_accuracy_is_of",),
    ),
    Mutation(
        "control labels are drawn for each frame, not each type", "analysis/probes.py",
        "unique, index = np.unique(types, return_inverse=True)\n    digests",
        "unique, index = np.arange(len(types)), np.arange(len(types))\n    digests",
        ("analysis/test_probes.py::test_a_type_has_one_control_label_wherever_it_occurs",),
    ),
    Mutation(
        "padding is pooled", "activations/forward.py",
        "states[site][self._row, :valid]", "states[site][self._row]",
        ("activations/test_capture.py::test_pooled_states_leave_the_padding_out",),
    ),
    Mutation(
        "the clock of frames is one frame late", "models/frames.py",
        "return (self.first + self.stride * np.arange(self.count(samples))) / SAMPLING_RATE",
        "return (self.first + self.stride * (1 + np.arange(self.count(samples)))) / SAMPLING_RATE",
        ("models/test_families.py::test_the_frame_nearest_to_the_time_of_a_frame_is_that_frame",),
    ),
    Mutation(
        "the nearest frame is the one after", "models/frames.py",
        "return np.clip(index, 0, self.count(samples) - 1)",
        "return np.clip(index + 1, 0, self.count(samples) - 1)",
        ("models/test_families.py::test_the_nearest_frame_is_at_most_half_a_stride_away",),
    ),
    Mutation(
        "items are left out, not speakers", "protocols/base.py",
        "sums, counts = clusters(values.astype(float), cluster)",
        "cluster = np.arange(len(cluster))\n        sums, counts = clusters(values.astype(float), cluster)",
        ("stats/test_intervals.py::test_a_task_leaves_out_speakers_and_not_items",),
    ),
    Mutation(
        "the jackknife takes many speakers for granted", "stats/intervals.py",
        "half = stats.t.ppf((1 + level) / 2, freedom)", "half = stats.norm.ppf((1 + level) / 2)",
        ("stats/test_intervals.py::test_the_jackknife_of_a_mean_is_its_t_interval",),
    ),
    Mutation(
        "uneven speakers count as many", "stats/intervals.py",
        "effective = float(counts.sum() ** 2 / np.square(counts).sum())", "effective = float(len(counts))",
        ("stats/test_intervals.py::test_the_interval_of_a_ratio_is_the_jackknife_of_its_data",),
    ),
    Mutation(
        "ABX forgets that a voice recurs as X", "analysis/abx.py",
        "(low == everyone) | (high == everyone)", "speaker == everyone",
        ("analysis/test_abx.py::test_a_speaker_is_left_out_of_every_part_and_couples_are_counted_once",),
    ),
    Mutation(
        "repetition confirms on the half that it ranked on", "protocols/repetition.py",
        "rank, held = loops.of(ranking), loops.of(~ranking)",
        "rank, held = loops.of(ranking), loops.of(ranking)",
        ("ground_truth/test_repetition.py::test_a_head_that_resolves_the_ranking_half_only_is_not_confirmed",),
    ),
    Mutation(
        "repetition ranks on the half that confirms", "protocols/repetition.py",
        "rank, held = loops.of(ranking), loops.of(~ranking)",
        "rank, held = loops.of(~ranking), loops.of(~ranking)",
        ("ground_truth/test_repetition.py::test_a_head_that_resolves_the_ranking_half_only_is_not_confirmed",),
    ),
    Mutation(
        "mitigation swaps its halves", "protocols/mitigation.py",
        "for side in (True, False):", "for side in (False, True):",
        ("ground_truth/test_mitigation.py::test_a_head_that_silences_the_choosing_half_only_is_not_confirmed",),
    ),
    Mutation(
        "the seal of a result is not checked", "results/schema.py",
        "elif given != expected:", "elif False:",
        ("results/test_schema.py::test_an_edited_file_is_refused_with_its_problem",),
    ),
    Mutation(
        "the hash of per-item outcomes is not checked", "results/store.py",
        "if sha256_file(beside) != items.sha256:", "if False:",
        ("results/test_schema.py::test_missing_or_changed_items_are_named",),
    ),
    Mutation(
        "verify does not recompute the headline", "results/verify.py",
        "if not abs(again - result.score.value) <= CLOSE:", "if False:",
        ("results/test_verify.py::test_what_was_sealed_anew_but_does_not_agree_is_told",),
    ),
    Mutation(
        "verify takes outcomes that give no number", "results/verify.py",
        "if not abs(again - result.score.value) <= CLOSE:", "if abs(again - result.score.value) > CLOSE:",
        ("results/test_verify.py::test_outcomes_that_give_no_number_are_told",),
    ),
    Mutation(
        "a copy among the results is ranked", "results/store.py",
        "if path != (place := self.path_of(result)):", "if (place := self.path_of(result)) is None:",
        ("results/test_verify.py::test_a_copy_among_the_results_is_told_and_never_ranked",),
    ),
)  # fmt: skip


def copied(folder: Path) -> None:
    """A working copy: package and tests as files, what is large or only read as links."""
    embedded = ROOT / "innerear" / "corpora" / "embedded"
    shutil.copytree(
        ROOT / "innerear", folder / "innerear", ignore=shutil.ignore_patterns("embedded", "__pycache__")
    )
    (folder / "innerear" / "corpora" / "embedded").symlink_to(embedded)
    shutil.copytree(ROOT / "tests", folder / "tests")
    for name in ("tasks", "baselines", "results", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)


def failed(folder: Path, tests: Sequence[str]) -> list[str]:
    """The tests that fail in a copy, run by a child that has imported all but innerear."""
    child = get_context("fork").Process(target=_run, args=(folder, tests))
    child.start()
    child.join()
    said = (folder / "said.txt").read_text()
    if child.exitcode not in (0, 1):
        raise SystemExit(f"the tests could not run:\n{said}")
    return list(dict.fromkeys(re.findall(r"^FAILED tests/([\w/]+\.py::\w+)", said, flags=re.M)))


def _run(folder: Path, tests: Sequence[str]) -> None:
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with (folder / "said.txt").open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    options = ["-q", "-rf", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    os._exit(int(pytest.main([*options, *(f"tests/{name}" for name in tests)])))


def main() -> int:
    """Try all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("words", nargs="*", help="only mutations whose name has one of these words")
    asked = parser.parse_args()
    chosen = [each for each in MUTATIONS if not asked.words or any(word in each.name for word in asked.words)]
    survived = 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder)
        if broken := failed(folder, sorted({test for each in chosen for test in each.tests})):
            raise SystemExit(f"without any mutation these fail: {', '.join(broken)}")
        if asked.markdown:
            print("| what is broken | where | what fails |\n| --- | --- | --- |")
        for each in chosen:
            file = folder / "innerear" / each.file
            whole = file.read_text()
            if whole.count(each.old) != 1:
                raise SystemExit(f"{each.name}: its text stands {whole.count(each.old)} times in {each.file}")
            file.write_text(whole.replace(each.old, each.new))
            told = failed(folder, each.tests)
            file.write_text(whole)
            survived += not told
            if asked.markdown:
                cell = "<br>".join(f"`{test}`" for test in told) or "**nothing**"
                print(f"| {each.name} | `innerear/{each.file}` | {cell} |", flush=True)
            else:
                print(f"{'caught' if told else 'SURVIVED'}: {each.name} ({len(told)} tests)", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} caught", file=sys.stderr)
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())
