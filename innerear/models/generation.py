"""Generation settings: how a decoder starts, which tokens end an output or never enter it, and its length.

They are read once, from generation_config.json, config.json and the tokenizer, in this order; greedy decoding
and interventions use nothing else. What else a folder says (beams, penalties, bans) has no effect.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.models.whisper.configuration_whisper import NON_SPEECH_TOKENS, NON_SPEECH_TOKENS_MULTI
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from innerear.data.language import ENGLISH, language_code
from innerear.models.families import FAMILIES
from innerear.models.family import Family
from innerear.models.folders import read_json
from innerear.models.generation_settings import Files, GenerationSettings
from innerear.models.prompts import audio_settings, encoded
from innerear.util.errors import InputError

_START, _END, _NO_TIMESTAMPS = "<|startoftranscript|>", "<|endoftext|>", "<|notimestamps|>"
_NEVER_WRITTEN = (
    _START, "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>",
    "<|nocaptions|>",
)  # fmt: skip
"""Whisper's special tokens that OpenAI's decoder suppresses beside symbols that are not spoken."""
_ENGLISH_END = 50256
"""The last token of GPT-2's vocabulary, which only the English-only Whispers have."""

_NEUTRAL: dict[str, Any] = {
    "do_sample": False, "num_beams": 1, "num_beam_groups": 1, "num_return_sequences": 1,
    "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "diversity_penalty": 0.0,
    "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": None,
    "bad_words_ids": None, "force_words_ids": None, "forced_bos_token_id": None, "forced_eos_token_id": None,
    "sequence_bias": None, "exponential_decay_length_penalty": None, "guidance_scale": None,
    "penalty_alpha": None, "stop_strings": None, "max_time": None, "return_timestamps": False,
    "task": "transcribe",
}  # fmt: skip
"""Settings that innerear does not use, with the values at which they change nothing."""


def read_settings(
    family: str, config: Any, folder: Path, tokenizer: Any, language: str = ""
) -> GenerationSettings:
    """The settings of a model's folder; what they say beyond `GenerationSettings` is told on stderr.

    Parameters
    ----------
    config
        The network's configuration.
    language
        What the registry says of a model of one language, where its folder says nothing.

    Raises
    ------
    InputError
        If a token is missing, impossible, or not what the tokenizer says.
    """
    generation = read_json(folder / "generation_config.json")
    files = Files(
        generation,
        read_json(folder / "config.json") or {},
        tokenizer.get_vocab(),
        tokenizer("").input_ids,
        config.get_text_config().vocab_size,
        lambda text: encoded(tokenizer, text),
    )
    if ignored := ignored_settings(files.config, generation or {}):
        print(
            f"{folder.name}: generation_config.json sets {', '.join(ignored)}, which innerear does not use: "
            "it decodes greedily, and transcribes without timestamps",
            file=sys.stderr,
        )
    try:
        return _READERS[FAMILIES[family].generation](files, config, language)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def check_transducer(config: Any, folder: Path) -> None:
    """Raise an `InputError` if a folder says of a transducer what none does: it starts from its blank."""
    blank, size = config.blank_token_id, config.vocab_size
    if not 0 <= blank < size:
        raise InputError(
            f"{folder}: config.json: blank_token_id is {blank}, not one of the model's {size} tokens"
        )
    start = (read_json(folder / "generation_config.json") or {}).get("decoder_start_token_id", blank)
    if start != blank:
        raise InputError(
            f"{folder}: generation_config.json: decoder_start_token_id is {start!r}, but a transducer starts "
            f"from its blank, {blank}; correct the wrong one"
        )
    prompt, prompts = getattr(config, "default_prompt_id", 0), getattr(config, "num_prompts", 1)
    if not 0 <= prompt < prompts:
        raise InputError(
            f"{folder}: config.json: default_prompt_id is {prompt}, not one of the model's {prompts} prompts"
        )


def plain_settings(files: Files, config: Any, language: str = "") -> GenerationSettings:
    """The settings of a decoder that starts from the prompt in its row, or from a single token.

    Parameters as in `read_settings`.
    """
    row, text = FAMILIES[config.model_type], config.get_text_config()
    ends = files.tokens("eos_token_id") or (files.token("eos_token_id", default=config.eos_token_id),)
    first = row.prompt[0] if row.prompt else ""
    start = files.token("decoder_start_token_id", first, default=config.decoder_start_token_id)
    told = _told(files, row)
    chosen = files.told(language, told, ENGLISH if ENGLISH in told else next(iter(told), ""))
    prefix = told.get(chosen, (start,))
    positions = getattr(text, "max_position_embeddings", None)
    if positions is None:
        positions = text.max_target_positions
    return GenerationSettings(
        prefix=prefix,
        ends=ends,
        pad=files.token("pad_token_id", default=ends[0]),
        max_tokens=files.limit(len(prefix), positions),
        suppress=files.tokens("suppress_tokens"),
        begin_suppress=files.tokens("begin_suppress_tokens"),
        language=chosen,
        languages=told,
    )


def _told(files: Files, row: Family) -> dict[str, tuple[int, ...]]:
    """The prompt of a row by the code of its language: the row's, else those of generation_config.json."""
    if not row.prompt:
        return {}
    key = "text_decoder_lang_to_code_id"
    stated = (files.generation or {}).get(key) or {}
    if not row.languages and not (isinstance(stated, dict) and stated):
        raise InputError(f"generation_config.json has no {key}, the languages that the model can write")
    told: dict[str, tuple[int, ...]] = {}
    for spelt in row.languages or sorted(stated):
        tokens = [each.format(language=spelt) for each in row.prompt]
        lacking = next((token for token in tokens if token not in files.vocabulary), "")
        if lacking and not row.languages:
            raise InputError(
                f"generation_config.json: {key} lists {spelt}, but the tokenizer has no {lacking}; they are "
                "from different models"
            )
        if not lacking:
            told.setdefault(language_code(spelt), tuple(files.vocabulary[token] for token in tokens))
    if not told:
        raise InputError(
            f"the tokenizer cannot spell the prompt of the model, {' '.join(row.prompt)}; copy it from the "
            "model that this one was made from"
        )
    return told


def whisper_settings(files: Files, config: Any, language: str = "") -> GenerationSettings:
    """The settings of a Whisper, which transcribes without timestamps; parameters as in `read_settings`."""
    start = files.token("decoder_start_token_id", _START)
    no_timestamps = files.token("no_timestamps_token_id", _NO_TIMESTAMPS)
    ends = files.tokens("eos_token_id") or (files.token("eos_token_id", _END),)
    languages = _languages(files)
    chosen = _language(files, languages, language)
    told = (languages[chosen], _transcribe(files)) if languages else ()
    prefix = (start, *told, no_timestamps)
    suppress, begin = files.tokens("suppress_tokens"), files.tokens("begin_suppress_tokens")
    if files.generation is None and not suppress and not begin:
        suppress, begin = _openai_suppresses(files.vocabulary, ends[0])
    return GenerationSettings(
        prefix=prefix,
        ends=ends,
        pad=files.token("pad_token_id", default=ends[0]),
        max_tokens=files.limit(len(prefix), config.max_target_positions),
        suppress=suppress,
        begin_suppress=begin,
        alignment_heads=_alignment_heads(files, config),
        no_speech=no_timestamps - 1,
        language=chosen,
        languages=languages,
    )


def ignored_settings(*stated: Mapping[str, Any]) -> list[str]:
    """Names of settings that change what `transformers` writes, and that innerear does not use."""
    every = {key: value for values in stated for key, value in values.items()}
    return [key for key, neutral in _NEUTRAL.items() if every.get(key) is not None and every[key] != neutral]


def _languages(files: Files) -> dict[str, int]:
    """Tokens of languages by code; none if the model is English-only."""
    stated = (files.generation or {}).get("lang_to_id")
    multilingual = (files.generation or {}).get("is_multilingual")
    if multilingual is None:
        multilingual = stated is not None or files.vocabulary.get(_END, _ENGLISH_END) != _ENGLISH_END
    if not multilingual:
        return {}
    if stated is None:
        known = {code: files.vocabulary.get(f"<|{code}|>") for code in LANGUAGES}
        found = {code: token for code, token in known.items() if token is not None}
        if not found:
            raise InputError("neither generation_config.json (lang_to_id) nor the tokenizer has languages")
        return found
    if not isinstance(stated, dict):
        raise InputError("generation_config.json: lang_to_id is not a table of languages and tokens")
    for spelling, token in stated.items():
        files.check(f"generation_config.json: lang_to_id of {spelling}", token)
        if files.vocabulary.get(spelling, token) != token:
            files.disagree(spelling, "generation_config.json", token)
    return {spelling.strip("<|>"): token for spelling, token in stated.items()}


def _language(files: Files, languages: Mapping[str, int], registered: str) -> str:
    """The language of the prefix: the folder's, else the registry's, else English; '' if there is none."""
    code_of = {token: code for code, token in languages.items()}
    generation = files.generation or {}
    own = next((code_of[token] for token in files.own_prefix if token in code_of), "")
    forced = [_forced_language(values, code_of) for values in (generation, files.config)]
    stated = generation.get("language")
    if stated is not None and not isinstance(stated, str):
        raise InputError(f"generation_config.json: language is {stated!r}, not one language")
    if not languages:
        if stated and language_code(stated) != "en":
            raise InputError(f"generation_config.json: language is {stated!r}, but the model is English-only")
        return ""
    named = stated or forced[0] or own or forced[1] or registered or "en"
    code, where = language_code(named), "generation_config.json: " if stated else ""
    if code not in languages:
        raise InputError(f"{where}the model has no token for the language {named!r}")
    return code


def _forced_language(values: Mapping[str, Any], code_of: Mapping[int, str]) -> str:
    """The language in `forced_decoder_ids`, pairs of position and token; '' if they force none."""
    try:
        return next(
            (code_of[token] for _, token in values.get("forced_decoder_ids") or () if token in code_of), ""
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"forced_decoder_ids are not pairs of position and token ({error})") from error


def _transcribe(files: Files) -> int:
    """The token of the task."""
    spelling, stated = "<|transcribe|>", (files.generation or {}).get("task_to_id")
    if isinstance(stated, dict) and "transcribe" in stated:
        token = stated["transcribe"]
        files.check("generation_config.json: task_to_id of transcribe", token)
        if files.vocabulary.get(spelling, token) != token:
            files.disagree(spelling, "generation_config.json", token)
        return int(token)
    if spelling not in files.vocabulary:
        raise InputError("neither generation_config.json (task_to_id) nor the tokenizer has <|transcribe|>")
    return files.vocabulary[spelling]


def _openai_suppresses(vocabulary: Mapping[str, int], end: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What OpenAI's decoder suppresses, and at the start: for folders without generation_config.json."""
    symbols = {_ENGLISH_END: NON_SPEECH_TOKENS, _ENGLISH_END + 1: NON_SPEECH_TOKENS_MULTI}.get(end, [])
    text = {token for token in symbols if token < end}  # the list ends in special tokens of Whisper v2
    special = {vocabulary[spelling] for spelling in _NEVER_WRITTEN if spelling in vocabulary}
    blank = [vocabulary["Ġ"]] if "Ġ" in vocabulary else []
    return tuple(sorted(text | special)), (*blank, end)


def _alignment_heads(files: Files, config: Any) -> tuple[tuple[int, int], ...]:
    name, stated = files.stated("alignment_heads")
    if stated is None:
        return ()
    layers, heads = config.decoder_layers, config.decoder_attention_heads
    try:
        found = tuple((int(layer), int(head)) for layer, head in stated)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: alignment_heads are not pairs of layer and head ({error})") from error
    if wrong := next((at for at in found if not (0 <= at[0] < layers and 0 <= at[1] < heads)), None):
        raise InputError(
            f"{name}: alignment head {list(wrong)} is not in the decoder's {layers} layers of {heads} heads"
        )
    return found


_READERS = {"plain": plain_settings, "whisper": whisper_settings, "audio LM": audio_settings}
