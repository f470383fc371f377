"""Kinds of inputs that once broke innerear, and the tests that hold each; a test sees that they exist."""

KINDS: dict[str, tuple[str, ...]] = {
    "tables whose cells are parted by semicolons or tabs, or with blank rows": (
        "tests/data/test_columns.py::test_cells_are_separated_by_commas_semicolons_or_tabs",
    ),
    "segments of a long recording, told by start and duration": (
        "tests/data/test_segments.py::test_segments_of_one_recording_are_clips_of_their_own",
        "tests/data/test_segments.py::test_bounds_that_are_not_understood_are_never_passed_over",
    ),
    "TextGrids whose times do not start at 0": (
        "tests/data/test_segments.py::test_times_of_a_textgrid_are_those_of_the_clip_or_of_its_recording",
    ),
    "TextGrids with tiers of other tools' names, or two tiers of one name that nobody asks for": (
        "tests/data/test_labels.py::test_tiers_of_other_tools_are_known",
        "tests/data/test_labels.py::test_tiers_of_one_name_matter_only_where_they_are_meant",
    ),
    "phone labels with Kaldi's suffixes, in CTM and elsewhere": (
        "tests/data/test_labels.py::test_ctm_lines_are_sorted_by_clip_and_kaldis_suffixes_come_off",
        "tests/data/test_phone_sets.py::test_labels_fold_into_the_classes",
    ),
    "CTM with two channels": ("tests/data/test_segments.py::test_two_channels_of_a_ctm_are_two_recordings",),
    "an MP3 whose header promises another length than its frames have": (
        "tests/data/test_recordings.py::test_an_mp3_whose_header_promises_hours_is_refused",
        "tests/data/test_containers.py::"
        "test_a_variable_bit_rate_without_a_table_is_refused_since_its_length_is_a_guess",
    ),
    "a transcript of fillers or punctuation alone": (
        "tests/protocols/test_transcription.py::test_a_clip_without_words_is_left_out_and_said",
        "tests/data/test_check.py::test_transcripts_without_a_word_and_audio_over_full_scale_are_said",
    ),
    "a recogniser whose head is not among its weights": (
        "tests/models/test_folders.py::test_a_recogniser_that_lost_its_head_is_refused",
    ),
    "an encoder without a head and a tokenizer": (
        "tests/models/test_folders.py::test_an_encoder_without_a_text_head_is_heard_and_writes_nothing",
        "tests/protocols/test_without_a_decoder.py::"
        "test_an_encoder_without_a_text_head_is_probed_and_its_text_tasks_are_not_applicable",
    ),
    "a decoder without a tokenizer": (
        "tests/models/test_folders.py::test_what_cannot_be_derived_is_asked_for",
        "tests/models/test_folders.py::test_a_folder_without_a_vocabulary_names_the_files_to_copy",
    ),
    "a folder without the settings of its front end or of generation": (
        "tests/models/test_folders.py::test_what_can_be_derived_is",
    ),
    "generation settings of old versions, without languages, tasks or a length": (
        "tests/models/test_generation.py::test_what_a_folder_lacks_is_derived_from_its_tokenizer",
    ),
    "a front end with other filters than the network has": (
        "tests/models/test_folders.py::test_a_front_end_of_another_model_is_refused",
    ),
    "settings that were edited after a result was measured": (
        "tests/models/test_identity.py::test_an_edit_shows_in_its_part_and_in_the_hash",
    ),
    "a fine-tune for another language": (
        "tests/models/test_generation.py::test_the_language_of_a_fine_tune_is_where_its_maker_left_it",
        "tests/protocols/test_languages.py::test_german_is_scored_in_german",
    ),
    "YAML whose aliases unfold without end, and values that no type has": (
        "tests/util/test_reading.py::test_yaml_that_grows_or_has_no_value_is_refused_in_one_line",
    ),
    "outcomes in Parquet that were damaged and sealed again": (
        "tests/results/test_verify.py::test_outcomes_that_were_damaged_and_sealed_again_are_one_line",
    ),
    "a tracking experiment that was deleted": (
        "tests/runs/test_tracking.py::test_a_deleted_experiment_is_told_before_anything_is_measured",
    ),
    "a tracking server with a certificate of its own": (
        "tests/runs/test_tracking_server.py::test_a_certificate_of_your_own_is_trusted_as_mlflow_is_told",
    ),
}


def kinds_table() -> str:
    """A Markdown table with a row for each kind."""
    rows = [f"| {kind} | {', '.join(f'`{test}`' for test in tests)} |" for kind, tests in KINDS.items()]
    return "\n".join(("| kind | held by |", "| --- | --- |", *rows))
