"""Twenty folders of tiny models as people save them: sound, incomplete, contradictory, in other formats."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import damage
from conftest import save_tiny

PART = "model-00001-of-00001.safetensors"


def _remove(*names: str) -> damage.Change:
    return lambda folder: [(folder / name).unlink() for name in names]


def _encoder_only(folder: Path) -> None:
    damage.tensors(lambda held: {k: v for k, v in held.items() if not k.startswith("lm_head.")})(folder)
    damage.edit("config.json", architectures=["Wav2Vec2ForPreTraining"])(folder)
    _remove("vocab.json", "tokenizer_config.json")(folder)


def _old_whisper(folder: Path) -> None:
    _remove("generation_config.json")(folder)
    damage.edit("config.json", max_length=40, forced_decoder_ids=[[1, 6], [2, 7], [3, 10]])(folder)


def _sharded(folder: Path) -> None:
    names = dict.fromkeys(damage.load_file(folder / damage.WEIGHTS), PART)
    (folder / damage.WEIGHTS).rename(folder / PART)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


def _adapter(folder: Path) -> None:
    _remove(damage.WEIGHTS, "config.json")(folder)
    (folder / "adapter_config.json").write_text("{}")


def _pointer(folder: Path) -> None:
    (folder / damage.WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def _as_is(_folder: Path) -> None:
    pass


ANIMALS: dict[str, tuple[str, damage.Change, bool]] = {
    "whisper": ("whisper", _as_is, True),
    "whisper-german": ("whisper", damage.edit("generation_config.json", language="german"), True),
    "whisper-2022": ("whisper", _old_whisper, True),
    "whisper-beams": ("whisper", damage.edit("generation_config.json", num_beams=5, max_new_tokens=9), True),
    "whisper-two-ends": ("whisper", damage.edit("generation_config.json", eos_token_id=[3, 12]), True),
    "whisper-no-front-end": ("whisper", _remove("preprocessor_config.json"), True),
    "whisper-trainer": ("whisper", _remove("tokenizer.json", "tokenizer_config.json"), False),
    "whisper-wrong-mel": ("whisper", damage.edit("preprocessor_config.json", feature_size=128), False),
    "whisper-short": ("whisper", damage.edit("config.json", encoder_layers=4), False),
    "whisper-adapter": ("whisper", _adapter, False),
    "moonshine": ("moonshine", _as_is, True),
    "moonshine-half": (
        "moonshine",
        damage.tensors(lambda held: {k: v.half() for k, v in held.items()}),
        True,
    ),
    "moonshine-pointer": ("moonshine", _pointer, False),
    "wav2vec2": ("wav2vec2", _as_is, True),
    "wav2vec2-base": ("wav2vec2", _encoder_only, True),
    "wav2vec2-sharded": ("wav2vec2", _sharded, True),
    "hubert-base": ("hubert", _encoder_only, True),
    "hubert-no-front-end": ("hubert", _remove("preprocessor_config.json"), False),
    "wavlm": ("wavlm", _as_is, True),
    "wavlm-empty": ("wavlm", damage.tensors(lambda held: {}), False),
}
"""Of each folder the family, the change, and whether it is a model."""


def make(place: Path, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Path]:
    """Save the folders."""
    made = {}
    for name, (family, change, _) in ANIMALS.items():
        if wanted(name):
            sound = place / ".sound" / family
            if not sound.is_dir():
                save_tiny(family, sound)
            made[name] = damage.copied(sound, place / name, change)
    shutil.rmtree(place / ".sound", ignore_errors=True)
    return made
