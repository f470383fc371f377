"""Mutation tests: break innerear on purpose, one line at a time, and check that a test fails.

`python tests/mutations.py [--markdown] [WORD ...]`

Each mutation replaces one text in a copy of the package and names the tests that must then fail. A
mutation that no test detected has survived, and the exit code is 1. `--markdown` prints the table of
docs/mutations.md; with WORDs only the mutations whose name contains one of them are run.
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

import pandas  # noqa: F401  imported here once instead of in every child
import pytest
import torch
import transformers.models.auto  # noqa: F401
from hypothesis import Phase
from hypothesis import settings as hypothesis

ROOT = Path(__file__).resolve().parent.parent


class Mutation(NamedTuple):
    """`old` occurs once in `file` (of innerear/) and becomes `new`; then `tests` (of tests/) must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "a hook writes to the next row of the batch", "interventions/spec.py",
        "self._write(each, states, written, row, row_of, offsets[row])",
        "self._write(each, states, written, (row + 1) % len(states), row_of, offsets[row])",
        (
            "interventions/test_properties.py::test_alpha_goes_straight_from_what_was_to_what_is_written[moonshine]",
            "interventions/test_interventions.py::test_worlds_of_a_led_batch_equal_one_hook_at_a_time[moonshine]",
        ),
    ),
    Mutation(
        "a hook returns the states unchanged", "interventions/spec.py",
        "return written\n\n    def _write(", "return states\n\n    def _write(",
        ("interventions/test_properties.py::test_ablating_all_of_a_layer_is_removing_it[moonshine]",),
    ),
    Mutation(
        "a patch is taken from the previous row", "interventions/spec.py",
        "return states[row_of[each.row], columns]", "return states[row_of[each.row] - 1, columns]",
        ("interventions/test_properties.py::test_a_patch_of_the_whole_state_makes_all_that_follows_the_donors[wavlm]",),
    ),
    Mutation(
        "the slice of a head is off by one", "models/sites.py",
        "part = slice(place.head * width, (place.head + 1) * width)",
        "part = slice(max(0, place.head * width - 1), (place.head + 1) * width - 1)",
        ("models/test_sites.py::test_heads_share_out_the_input_of_the_output_projection",),
    ),
    Mutation(
        "an intervention ignores its positions", "interventions/spec.py",
        "range(offset, offset + length) if each.positions is None else each.positions",
        "range(offset, offset + length)",
        ("interventions/test_properties.py::test_alpha_goes_straight_from_what_was_to_what_is_written[hubert]",),
    ),
    Mutation(
        "generation ignores how many tokens are in the KV cache", "interventions/run.py",
        'batch.applied("decoder", alive, decoding.length)', 'batch.applied("decoder", alive)',
        (
            "interventions/test_interventions.py::test_what_never_acts_is_an_error[moonshine]",
            "interventions/test_interventions.py::test_generated_worlds_equal_one_hooked_generate_each[moonshine]",
        ),
    ),
    Mutation(
        "an intervention that never acted is not an error", "interventions/spec.py",
        "if each.site.stack == stack and not self.fired[number, count]:", "if False:",
        ("interventions/test_properties.py::test_firings_are_counted_and_what_never_acts_is_an_error[wav2vec2]",),
    ),
    Mutation(
        "a hook that never fired is not an error", "models/sites.py",
        "if silent := [site for site in actions if not fired[site]]:", "if silent := []:",
        ("models/test_sites.py::test_a_hook_that_never_fires_is_an_error",),
    ),
    Mutation(
        "test speakers are also in training", "data/splits.py",
        "others = [speaker for speaker in speakers if speaker not in test]", "others = list(speakers)",
        ("data/test_splits.py",),
    ),
    Mutation(
        "the same sentence is in training and test", "data/splits.py",
        "len(readers[sentence(item.text)]) == 1", "len(readers[sentence(item.text)]) >= 1",
        ("data/test_splits.py",),
    ),
    Mutation(
        "transfer: sentences of the test corpus are also in training", "data/splits.py",
        "tested = {sentence(item.text) for item in target if item.is_speech} if rule.sentence_disjoint "
        "else set()",
        "tested: set[str] = set()",
        ("data/test_splits.py::test_transfer_leaves_out_sentences_that_the_target_has",),
    ),
    Mutation(
        "transfer: speakers of the test corpus are also in training", "data/splits.py",
        "ordered_units(source, rule) if speaker not in taken]", "ordered_units(source, rule)]",
        ("data/test_splits.py::test_transfer_never_learns_from_a_speaker_or_a_clip_that_is_tested",),
    ),
    Mutation(
        "constant control labels count by the share of another class", "analysis/folds.py",
        "guessed = random[side.learn][:1]", "guessed = random[side.learn][:1] - 1",
        ("protocols/test_pooled_probing.py::test_control_labels_of_new_speakers_count_by_the_share_of_their_class",),
    ),
    Mutation(
        "selectivity is taken at another layer than accuracy", "protocols/probing.py",
        "made.at_chosen(right - made.control)[kept]", "(right - made.control)[best][kept]",
        ("protocols/test_pooled_probing.py::test_selectivity_is_of_the_layers_that_the_accuracy_is_of",),
    ),
    Mutation(
        "control labels are drawn per frame instead of per type", "analysis/probes.py",
        "unique, index = np.unique(types, return_inverse=True)\n    digests",
        "unique, index = np.arange(len(types)), np.arange(len(types))\n    digests",
        ("analysis/test_probes.py::test_a_type_has_one_control_label_wherever_it_occurs",),
    ),
    Mutation(
        "pooling includes padding", "activations/forward.py",
        "states[site][self._row, :valid]", "states[site][self._row]",
        ("activations/test_capture.py::test_pooled_states_leave_the_padding_out",),
    ),
    Mutation(
        "frame times are one frame late", "models/frames.py",
        "frames = np.arange(self.count(samples))",
        "frames = 1 + np.arange(self.count(samples))",
        ("models/test_families.py::test_the_frame_nearest_to_the_time_of_a_frame_is_that_frame",),
    ),
    Mutation(
        "hooks act while the audio is listened to", "models/audio_lm.py",
        "self._listening = True",
        "self._listening = False",
        ("models/test_audio_lm.py::test_a_hook_acts_behind_the_audio_only",),
    ),
    Mutation(
        "the nearest frame is off by one", "models/frames.py",
        "return np.clip(index, 0, self.count(samples) - 1)",
        "return np.clip(index + 1, 0, self.count(samples) - 1)",
        ("models/test_families.py::test_the_nearest_frame_is_at_most_half_a_stride_away",),
    ),
    Mutation(
        "the jackknife leaves out items instead of speakers", "stats/intervals.py",
        "sums, counts = clusters(values.astype(float), cluster)",
        "cluster = np.arange(len(cluster))\n        sums, counts = clusters(values.astype(float), cluster)",
        ("stats/test_intervals.py::test_the_interval_of_a_mean_leaves_out_speakers_and_not_items",),
    ),
    Mutation(
        "the jackknife uses the normal instead of the t distribution", "stats/intervals.py",
        "half = special.stdtrit(freedom, (1 + level) / 2)", "half = stats.norm.ppf((1 + level) / 2)",
        ("stats/test_intervals.py::test_the_jackknife_of_a_mean_is_its_t_interval",),
    ),
    Mutation(
        "uneven speakers count as equal ones", "stats/intervals.py",
        "effective = float(counts.sum() ** 2 / np.square(counts).sum())", "effective = float(len(counts))",
        ("stats/test_intervals.py::test_the_interval_of_a_ratio_is_the_jackknife_of_its_data",),
    ),
    Mutation(
        "the ABX jackknife does not leave out a speaker as X", "stats/nested.py",
        "(low == everyone) | (high == everyone)", "speaker == everyone",
        ("analysis/test_abx.py::test_a_speaker_is_left_out_of_every_part_and_couples_are_counted_once",),
    ),
    Mutation(
        "repetition confirms on the half used for ranking", "protocols/repetition.py",
        "rank, held = loops.of(ranking), loops.of(~ranking)",
        "rank, held = loops.of(ranking), loops.of(ranking)",
        ("ground_truth/test_repetition.py::test_a_head_that_resolves_the_ranking_half_only_is_not_confirmed",),
    ),
    Mutation(
        "repetition ranks on the half used for confirmation", "protocols/repetition.py",
        "rank, held = loops.of(ranking), loops.of(~ranking)",
        "rank, held = loops.of(~ranking), loops.of(~ranking)",
        ("ground_truth/test_repetition.py::test_a_head_that_resolves_the_ranking_half_only_is_not_confirmed",),
    ),
    Mutation(
        "mitigation swaps its two halves", "protocols/mitigation.py",
        "for side in (True, False):", "for side in (False, True):",
        ("ground_truth/test_mitigation.py::test_a_head_that_silences_the_choosing_half_only_is_not_confirmed",),
    ),
    Mutation(
        "the hash of a result is not checked", "results/schema.py",
        "elif given != expected:", "elif False:",
        ("results/test_schema.py::test_an_edited_file_is_refused_with_its_problem",),
    ),
    Mutation(
        "the hash of the per-item outcomes is not checked", "results/store.py",
        "if sha256_file(beside) != items.sha256:", "if False:",
        ("results/test_schema.py::test_missing_or_changed_items_are_named",),
    ),
    Mutation(
        "verify does not recompute the numbers", "results/recount.py",
        "if not np.isclose(stated[0], given[0], rtol=CLOSE, atol=CLOSE):", "if False:",
        ("results/test_verify.py::test_what_was_sealed_anew_but_does_not_agree_is_told",),
    ),
    Mutation(
        "verify accepts outcomes whose headline is NaN", "results/recount.py",
        "if not np.isclose(stated[0], given[0], rtol=CLOSE, atol=CLOSE):",
        "if abs(stated[0] - given[0]) > CLOSE:",
        ("results/test_verify.py::test_outcomes_that_give_no_number_are_told",),
    ),
    Mutation(
        "a copied result file is ranked", "results/store.py",
        "if path != (place := self.path_of(result)):", "if (place := self.path_of(result)) is None:",
        ("results/test_verify.py::test_a_copy_among_the_results_is_told_and_never_ranked",),
    ),
)  # fmt: skip


def copy_tree(folder: Path) -> None:
    """Make a working copy: package and tests as files; corpora and what tests only read as links."""
    shutil.copytree(
        ROOT / "innerear", folder / "innerear", ignore=shutil.ignore_patterns("corpora", "__pycache__")
    )
    (folder / "innerear" / "data" / "corpora").symlink_to(ROOT / "innerear" / "data" / "corpora")
    shutil.copytree(ROOT / "tests", folder / "tests")
    for name in ("tasks", "baselines", "results", "docs", "README.md", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)


def failing_tests(folder: Path, tests: Sequence[str]) -> list[str]:
    """Names of the tests that fail in a copy, run in a child that has already imported all but innerear."""
    child = get_context("fork").Process(target=_run, args=(folder, tests))
    child.start()
    child.join()
    output = (folder / "output.txt").read_text()
    if child.exitcode not in (0, 1):
        raise SystemExit(f"the tests could not run:\n{output}")
    return list(dict.fromkeys(re.findall(r"^FAILED tests/([\w/]+\.py::\w+)", output, flags=re.M)))


def _run(folder: Path, tests: Sequence[str]) -> None:
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with (folder / "output.txt").open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    options = ["-q", "-rf", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    os._exit(int(pytest.main([*options, *(f"tests/{name}" for name in tests)])))


def main() -> int:
    """Run the mutations; 1 if one survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/mutations.md")
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="run only mutations whose name contains one of these words"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    hypothesis.register_profile("no-shrinking", phases=[Phase.explicit, Phase.generate])
    hypothesis.load_profile("no-shrinking")
    sys.dont_write_bytecode = True  # a mutation of equal length within a second would not be recompiled
    chosen = [
        mutation
        for mutation in MUTATIONS
        if not options.words or any(word in mutation.name for word in options.words)
    ]
    survived = 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        copy_tree(folder)
        if broken := failing_tests(folder, sorted({test for mutation in chosen for test in mutation.tests})):
            raise SystemExit(f"these tests fail without any mutation: {', '.join(broken)}")
        if options.markdown:
            print("| what is broken | where | tests that fail |\n| --- | --- | --- |")
        for mutation in chosen:
            file = folder / "innerear" / mutation.file
            source = file.read_text()
            if source.count(mutation.old) != 1:
                raise SystemExit(
                    f"{mutation.name}: its text occurs {source.count(mutation.old)} times in "
                    f"{mutation.file}, not once"
                )
            file.write_text(source.replace(mutation.old, mutation.new))
            failing = failing_tests(folder, mutation.tests)
            file.write_text(source)
            survived += not failing
            if options.markdown:
                cell = "<br>".join(f"`{test}`" for test in failing) or "**none**"
                print(f"| {mutation.name} | `innerear/{mutation.file}` | {cell} |", flush=True)
            else:
                outcome = "detected" if failing else "SURVIVED"
                print(f"{outcome}: {mutation.name} ({len(failing)} tests)", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} detected", file=sys.stderr)
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())
