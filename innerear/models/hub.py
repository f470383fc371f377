"""The Hugging Face hub: one short question first, then the files that `transformers` loads and no others."""

from pathlib import Path

from huggingface_hub import HfApi, ModelInfo, snapshot_download

from innerear.util.downloads import Unreachable

_FILES = (
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "normalizer.json", "model.safetensors", "model.safetensors.index.json",
    "model-?????-of-?????.safetensors",
)  # fmt: skip
_PATIENCE = 3.0
"""Seconds to wait for an answer: without a network, a download itself would retry for half a minute."""


def ask(repo: str, revision: str | None) -> ModelInfo:
    """Ask what a repository is at a revision (the newest for None); the answer's `sha` is the commit.

    Raises
    ------
    Unreachable
        If there is no hub, no such repository or revision, or no permission.
    """
    try:
        return HfApi().model_info(repo, revision=revision, timeout=_PATIENCE)
    except Exception as error:  # the client's transport, and with it its errors, changes between versions
        raise Unreachable(f"hub {repo}: {_reason(error)}") from error


def download(repo: str, commit: str, folder: Path) -> None:
    """Fetch configuration, tokenizer and safetensors into `folder`, but not what is there already.

    Raises
    ------
    Unreachable
        If the hub goes away, or the disk is full.
    """
    try:
        snapshot_download(repo, revision=commit, local_dir=folder, allow_patterns=list(_FILES))
    except Exception as error:
        raise Unreachable(f"hub {repo}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}, {said[0][:160]}" if said else type(error).__name__
