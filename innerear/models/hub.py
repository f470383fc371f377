"""The Hugging Face hub: one short query first, then only the files that `transformers` loads."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, ModelInfo, snapshot_download

from innerear.util.downloads import Unreachable

_FILES = (
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "normalizer.json", "sentencepiece.bpe.model", "tokenizer.model", "tekken.json",
    "model.safetensors", "model.safetensors.index.json",
    "model-?????-of-?????.safetensors",
)  # fmt: skip
_PATIENCE = 3.0
"""Seconds to wait for an answer: without a network, a download itself would retry for half a minute."""


def repository_info(repo: str, revision: str | None) -> ModelInfo:
    """Look a repository up at a revision (None: the newest); `sha` of the answer is the commit.

    Raises
    ------
    Unreachable
        If there is no hub, no such repository or revision, or no permission.
    """
    try:
        return HfApi().model_info(repo, revision=revision, timeout=_PATIENCE)
    except Exception as error:  # the client's transport, and with it its errors, changes between versions
        raise Unreachable(f"hub {repo}: {_reason(error)}") from error


def download_description(repo: str, commit: str, folder: Path) -> None:
    """Fetch the configuration and the model card alone into `folder`; errors as `download`."""
    _snapshot(repo, commit, folder, ["config.json", "README.md"])


def download(repo: str, commit: str, folder: Path, others: Sequence[str] = ()) -> None:
    """Fetch configuration, tokenizer, safetensors and `others` into `folder`; files that are there are kept.

    Raises
    ------
    Unreachable
        If the connection fails, or the disk is full.
    """
    _snapshot(repo, commit, folder, [*_FILES, *others])


def _snapshot(repo: str, commit: str, folder: Path, patterns: list[str]) -> None:
    try:
        snapshot_download(repo, revision=commit, local_dir=folder, allow_patterns=patterns)
    except Exception as error:
        raise Unreachable(f"hub {repo}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}, {lines[0][:160]}" if lines else type(error).__name__
