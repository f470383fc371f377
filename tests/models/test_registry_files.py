"""Registry files are written from what a configuration and a card say, and pinned without losing a word."""

import json
from fnmatch import fnmatch
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copy
from threading import Thread
from types import SimpleNamespace

import damage
import pytest
from conftest import save_tiny
from typer.testing import CliRunner

from innerear.cli import app
from innerear.models import hub
from innerear.models.loading import load_model
from innerear.models.registration import registration
from innerear.models.registry import load_spec
from innerear.models.registry_files import pin, spec_files, write_spec
from innerear.util.errors import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
YAML = """\
# a comment before
name: mine
title: Mine
family: whisper
licence: MIT
parameters: 7
languages: [en]  # and one behind
training_data: [LibriSpeech]
citation: ""
sources:
  # and one within
  - kind: hub
    repo: me/first
    revision: null  # not known yet
  - {kind: hub, repo: me/second, revision: ffffffffffffffffffffffffffffffffffffffff}
  - {kind: hub, repo: me/third, revision: }
  - {kind: hub, repo: me/fourth, revision: refs/pr/2}
"""
CARD = """\
---
language:
- de
- no
- klingon-of-no-code-at-all
license: apache-2.0
datasets:
- mozilla-foundation/common_voice_17_0
model-index: [{name: x}]
---
# A model
```bibtex
@misc{me2026,
  title = {A model: with a colon},
}
```
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A hub of one repository, the folder."""
    folder = save_tiny("wav2vec2", tmp_path / "repository")
    (folder / "README.md").write_text(CARD)

    def info(_self, repo, **_):
        names = [SimpleNamespace(rfilename=path.name) for path in folder.iterdir()]
        return SimpleNamespace(sha=COMMIT, siblings=names, config={"model_type": "wav2vec2"})

    def download(_repo, revision, local_dir, allow_patterns):
        assert revision == COMMIT
        for path in folder.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                copy(path, local_dir)

    monkeypatch.setattr(hub.HfApi, "model_info", info)
    monkeypatch.setattr(hub, "snapshot_download", download)
    return folder


def test_commits_are_written_where_there_are_none_and_nothing_else_changes(tmp_path, repository):
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    assert pin(path) == [(f"me/{name}", COMMIT) for name in ("first", "third", "fourth")]
    expected = YAML.replace("revision: null", f"revision: {COMMIT}").replace("refs/pr/2", COMMIT)
    assert path.read_text() == expected.replace("revision: }", f"revision: {COMMIT} }}")
    assert [source.revision for source in load_spec(str(path)).sources] == [COMMIT, 40 * "f", COMMIT, COMMIT]
    assert pin(path) == []
    assert "mine.yaml: nothing to pin" in CliRunner().invoke(app, ["models", "pin", str(path)]).stdout


def test_a_commit_of_pickled_weights_alone_is_not_pinned(tmp_path, repository):
    (repository / "model.safetensors").rename(repository / "pytorch_model.bin")
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    with pytest.raises(InputError, match="hub me/first: holds pickled weights"):
        pin(path)
    assert path.read_text() == YAML


def test_without_a_hub_the_file_stays_as_it_is(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(hub.HfApi, "model_info", refuse)
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    with pytest.raises(InputError, match="hub me/first: ConnectionError, no route to host"):
        pin(path)
    assert path.read_text() == YAML


def test_without_names_all_that_state_no_commit_are_pinned():
    chosen = {path.stem for path in spec_files()}
    assert "whisper-base" not in chosen
    assert all(not each.pinned for name in chosen for each in load_spec(name).sources if each.kind == "hub")
    with pytest.raises(InputError, match="unknown model 'whisper-bse'; did you mean 'whisper-base'"):
        spec_files(["whisper-bse"])


def test_a_repository_is_described_by_its_configuration_and_its_card(tmp_path, repository):
    made = registration("me/tiny-letters")
    path = tmp_path / f"{made.name}.yaml"
    write_spec(path, made.text)
    spec = load_spec(str(path))
    assert (spec.name, spec.family, spec.licence) == ("tiny-letters", "wav2vec2", "Apache-2.0")
    assert (spec.languages, spec.writes) == (("de", "no"), True)
    assert spec.training_data == ("mozilla-foundation/common_voice_17_0", "undisclosed audio")
    assert spec.citation.startswith("@misc{me2026")
    assert [(source.repo, source.revision) for source in spec.sources] == [("me/tiny-letters", COMMIT)]
    assert spec.parameters == load_model(str(repository)).identity.parameters
    with pytest.raises(InputError, match="already exists"):
        write_spec(path, made.text)
    with pytest.raises(InputError, match=r"mine\.txt: a registry file ends in \.yaml or \.yml"):
        write_spec(tmp_path / "mine.txt", made.text)


def test_what_a_folder_does_not_say_stays_open(tmp_path):
    folder = save_tiny("wavlm", tmp_path / "mine")
    made = registration(str(folder))
    path = tmp_path / "mine.yaml"
    write_spec(path, made.text)
    spec = load_spec(str(path))
    assert (spec.licence, spec.languages, spec.citation) == ("not stated", (), "")
    assert spec.training_data == ("undisclosed audio",)
    assert spec.sources[0].path == folder
    assert len(made.open) == 4
    assert load_model(str(path)).identity.parameters == spec.parameters


@pytest.mark.parametrize(
    ("network", "facts"),
    [
        (["Wav2Vec2Model"], {"writes": False, "adapted": False}),
        (["Wav2Vec2ForCTC"], {"writes": True, "adapted": True}),
    ],
)
def test_an_encoder_alone_and_an_adapter_are_known_by_the_configuration(repository, tmp_path, network, facts):
    damage.edit("config.json", architectures=network, add_adapter=True)(repository)
    (tmp_path / "mine.yaml").write_text(registration("me/mine").text)
    spec = load_spec(str(tmp_path / "mine.yaml"))
    assert {name: getattr(spec, name) for name in facts} == facts
    assert spec.parameters > 0


def test_a_configuration_that_names_no_network_leaves_the_size_open(repository):
    damage.edit("config.json", architectures=["Mine"])(repository)
    made = registration("me/mine")
    assert "parameters: 0" in made.text
    assert any("text head" in each for each in made.open)


def test_a_configuration_of_no_network_is_one_line_that_names_the_repository(repository):
    damage.edit("config.json", hidden_size=-1)(repository)
    with pytest.raises(InputError, match=r"^hub me/mine: its config\.json cannot be loaded"):
        registration("me/mine")


def test_a_card_without_metadata_that_fit_is_no_card(repository):
    (repository / "README.md").write_text("---\nlicense: {a: b}\n---\nText")
    assert "licence: not stated" in registration("me/mine").text


@pytest.mark.parametrize("given", ["nowhere", "a/b/c", "hub:x", ""])
def test_what_is_no_model_is_one_line(given):
    with pytest.raises(InputError, match=r"neither a folder nor a repository of the hub"):
        registration(given)


def test_an_unknown_kind_is_told_what_is_missing_and_where_an_adapter_would_go(repository):
    damage.edit("config.json", model_type="telepathy")(repository)
    with pytest.raises(
        InputError, match=r"^hub me/mine: no adapter for model type 'telepathy'.*families\.py"
    ):
        registration("me/mine")


def test_the_names_of_files_are_those_of_models():
    assert Path(spec_files(["whisper-base"])[0]).name == "whisper-base.yaml"


class _Hub(BaseHTTPRequestHandler):
    """Answers as the hub does, from a folder: what a repository is, and its files."""

    folder: Path

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        files = sorted(self.folder.iterdir())
        if self.path.startswith(f"/api/models/me/mine/tree/{COMMIT}"):
            listed = [
                {"type": "file", "path": path.name, "oid": 40 * "0", "size": path.stat().st_size}
                for path in files
            ]
            return self._answer(json.dumps(listed).encode())
        if self.path.startswith("/api/models/me/mine"):
            about = {
                "id": "me/mine", "sha": COMMIT, "siblings": [{"rfilename": path.name} for path in files],
                "config": {"model_type": "wav2vec2"},
            }  # fmt: skip
            return self._answer(json.dumps(about).encode())
        path = self.folder / self.path.removeprefix(f"/me/mine/resolve/{COMMIT}/")
        return self._answer(path.read_bytes()) if path.is_file() else self.send_error(404)

    def _answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A hub on this machine, which the hub's own client asks; its repository's folder."""
    folder = save_tiny("wav2vec2", tmp_path / "repository")
    (folder / "README.md").write_text(CARD)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (_Hub,), {"folder": folder}))
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    url = f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url)
    yield folder
    server.shutdown()


def test_the_hub_is_asked_as_its_client_asks_it(tmp_path, served):
    made = registration("me/mine")
    path = tmp_path / "mine.yaml"
    write_spec(path, made.text.replace(COMMIT, "null"))
    assert (load_spec(str(path)).family, load_spec(str(path)).licence) == ("wav2vec2", "Apache-2.0")
    assert pin(path) == [("me/mine", COMMIT)]
    assert path.read_text() == made.text
