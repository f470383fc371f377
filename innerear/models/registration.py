"""The registry file of a model, from its configuration and model card; what they do not say stays open."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from innerear.data.language import language_code
from innerear.models import hub
from innerear.models.families import FAMILIES
from innerear.models.folders import check_folder, explained, foreign_format, read_json
from innerear.models.networks import architecture, network_class, network_config
from innerear.models.registry import MULTILINGUAL, UNDISCLOSED, family_of
from innerear.util.errors import InputError
from innerear.util.reading import read_text
from innerear.util.yaml import MOST, dump_yaml, parse_yaml

_LICENCES = {
    "apache-2.0": "Apache-2.0", "mit": "MIT", "cc-by-4.0": "CC-BY-4.0", "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0", "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0", "cc0-1.0": "CC0-1.0",
    "bsd-3-clause": "BSD-3-Clause", "gpl-3.0": "GPL-3.0", "openrail": "OpenRAIL",
}  # fmt: skip
"""Licences as model cards spell them, and as SPDX does."""


class _Card(BaseModel):
    """The metadata of a model card that are used."""

    model_config = ConfigDict(extra="ignore")

    license: str | None = None
    license_name: str | None = None
    language: str | bool | list[str | bool] | None = None  # `no` is a boolean in YAML
    datasets: list[str] | str | None = None


@dataclass(frozen=True)
class Registration:
    """A registry file, and what a person must still look up."""

    name: str
    text: str
    open: tuple[str, ...]


def registration(model: str) -> Registration:
    """Describe a repository of the hub (`owner/name`, `hub:owner/name`) or a folder.

    Raises
    ------
    InputError
        If it holds no model of a known family, or the hub cannot be reached.
    """
    path = Path(model).expanduser()
    if model and path.is_dir():
        check_folder(path)
        source = {"kind": "local", "path": str(path.resolve())}
        return _registration(path.resolve().name.lstrip("."), path, source, str(path))
    repo = model.removeprefix("hub:")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise InputError(f"{model}: neither a folder nor a repository of the hub (owner/name)")
    info = hub.repository_info(repo, None)
    assert info.sha is not None
    if foreign := foreign_format([file.rfilename for file in info.siblings or ()], info.config):
        raise InputError(f"hub {repo}: {foreign}")
    with tempfile.TemporaryDirectory() as folder:
        hub.download_description(repo, info.sha, Path(folder))
        source = {"kind": "hub", "repo": repo, "revision": info.sha}
        try:
            return _registration(repo.rpartition("/")[2], Path(folder), source, f"hub {repo}")
        except InputError as error:
            raise InputError(str(error).replace(folder, f"hub {repo}")) from error


def _registration(name: str, folder: Path, source: Mapping[str, str], where: str) -> Registration:
    family = family_of(read_json(folder / "config.json") or {}, where)
    card, text = _card(folder)
    open_facts = []
    network = _network(family, folder)
    facts: dict[str, Any] = {"name": name, "title": name, "family": family}
    facts["licence"] = _licence(card)
    if facts["licence"] == "not stated":
        open_facts.append("the model card names no licence")
    facts |= network
    if not network["parameters"]:
        open_facts.append(
            "config.json does not say whether it has a text head: state `writes` and `parameters`"
        )
    facts["languages"] = _languages(card) or list(FAMILIES[family].languages)
    if not facts["languages"]:
        open_facts.append("the model card names no language")
    facts["training_data"] = [*_listed(card.datasets), UNDISCLOSED]
    open_facts.append(f"training_data has what the model card lists; replace `{UNDISCLOSED}` by all the rest")
    facts["citation"] = _citation(text)
    if not facts["citation"]:
        open_facts.append("the model card has no BibTeX")
    facts["sources"] = [source]
    return Registration(name, dump_yaml(facts), tuple(open_facts))


def _network(family: str, folder: Path) -> dict[str, Any]:
    """Size and capabilities of the network that a configuration describes, built without memory."""
    config = network_config(folder)
    kind = architecture(family, config)
    if kind is None and any(folder.glob("*.safetensors")):
        kind = network_class(family, config, folder)
    if kind is None:
        return {"parameters": 0}
    with explained(folder, "config.json"), torch.device("meta"):
        parameters = sum(each.numel() for each in kind(config).parameters())
    made: dict[str, Any] = {"parameters": parameters}
    row = FAMILIES[family]
    if kind.__name__ == row.bare.rpartition(":")[2]:
        made["writes"] = False
    elif row.adapter(config):
        made["adapted"] = True
    return made


def _card(folder: Path) -> tuple[_Card, str]:
    """The metadata and the text of the model card; nothing where there is none, or no metadata that fit."""
    if not (folder / "README.md").is_file():
        return _Card(), ""
    text = read_text(folder / "README.md", most=MOST)
    front = re.match(r"---\s*\n(.*?)\n---\s*(?:\n|$)", text, flags=re.DOTALL)
    try:
        return (parse_yaml(front[1], _Card, "README.md") if front else _Card()), text
    except InputError:
        return _Card(), text


def _licence(card: _Card) -> str:
    named = card.license_name if card.license == "other" else card.license
    return _LICENCES.get((named or "").lower(), named) or "not stated"


def _languages(card: _Card) -> list[str]:
    """Codes of the languages of a card; what is none is left out, but for `multilingual`."""
    found = []
    for spelt in _listed(card.language):
        try:
            found.append(spelt if spelt == MULTILINGUAL else language_code(spelt))
        except InputError:
            continue
    return list(dict.fromkeys(filter(None, found)))


def _listed(value: str | bool | Sequence[str | bool] | None) -> list[str]:
    values = [value] if isinstance(value, str | bool) else value or ()
    return ["no" if each is False else str(each) for each in values]


def _citation(text: str) -> str:
    """The first entry of BibTeX in a model card."""
    block = re.search(r"```\s*(?:bibtex|latex|tex)?\s*\n\s*(@\w+\{.*?)\n\s*```", text, flags=re.DOTALL)
    return block[1].strip() + "\n" if block else ""
