"""Tasks and models that are wrong, hostile or impossible."""

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import damage as zoo
import yaml
from bad_inputs import ESCAPES, HUGE, Write, write_text
from fuzz import run
from harness import HELD, TOLD, Trial
from sound import FAMILIES, TASK, Sound


def _tasks(sound: Sound) -> Iterator[Trial]:
    text = sound.read(TASK).decode()
    bomb = "b: &b [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n"
        for old, new in zip("bcdefgh", "cdefghi", strict=True)
    )
    texts = {
        "nothing": "",
        "a word": "x",
        "a list": "- 1",
        "null": "~",
        "a bomb of aliases": bomb + text,
        "a node that holds itself": "a: &a [*a]",
        "a bomb in the title": text.replace(
            "title:", "x: &x [" + "y," * 1000 + "]\ntitle: [" + "*x," * 1000 + "]\nold:"
        ),
        "deep": "title: " + "[" * 5000,
        "a key twice": text + "\nid: again\n",
        "a tab": "\tid: x",
        "NUL": "id: \0",
        "two documents": f"{text}\n---\n{text}",
        "a Python object": "id: !!python/object/apply:os.system ['touch owned']",
        "an unknown tag": "id: !x y",
        "2 MiB": text + "# " + "x" * 2**21,
        "JSON": json.dumps({"id": "x"}),
        "binary": "\udcff\udcfe",
        "a merge of nothing": text + "\n<<: 5\n",
    }
    for name, content in texts.items():
        damage = write_text(TASK, content)
        expect = "" if name == "two documents" else TOLD
        yield Trial("bad task", name, partial(run, sound, "wav2vec2", damage, expect=expect))
    for encoding in ("utf-8-sig", "utf-16"):
        damage = write_text(TASK, text, encoding)
        yield Trial(
            "bad task",
            f"in {encoding}",
            partial(run, sound, "wav2vec2", damage, expect="" if "16" in encoding else HELD),
        )
    values: dict[str, tuple[str, ...]] = {
        "title": ("2020-13-45", "2020-01-01 25:61:61", "!!timestamp x", "[x]", "~", "5"),
        "tolerance": ("!!float x", ".nan", ".inf", "-1", "x", "1e999"),
        "version": ("9" * 5000, "0", "-1", "1.5", "x", ".inf"),
        "confidence": ("0", "1", "2", "-1", ".nan", "95", "x"),
        "corpus": ("none.jsonl", "''", "[]", "/dev/zero", "/", "x+y", "hub:x", "5"),
        "id": ("''", "'../x'", "X Y", "'a/b'", f'"{"a" * 300}!"', "5"),
        "seed": ("x", "1.5", ".nan", "9" * 400),
        "limit": ("0", "-1", "x", ".inf"),
        "measure": (
            "~",
            "x",
            "{}",
            "{protocol: none}",
            "[]",
            "{protocol: transcription, x: 1}",
            "{protocol: transcription, timed: -1}",
        ),
        "metric": ("x", "{}", "{name: wer}", "{name: wer, direction: up}"),
        "noise": (
            "x",
            "{}",
            "{snr: [], kinds: []}",
            "{snr: [.nan], kinds: [white]}",
            "{snr: [x], kinds: [white]}",
            "{snr: [0], kinds: [none]}",
            "{snr: [1e999], kinds: [white]}",
            "{snr: [-9999], kinds: [white]}",
        ),
        "split": (
            "x",
            "{}",
            "{kind: none}",
            "{kind: speaker-folds, folds: 0, seed: 1}",
            "{kind: speaker-folds, folds: 1000000000, seed: 1}",
        ),
        "only": ("x", "{a: b}", "{text: [1]}", "{'': ''}"),
    }
    for key, written in values.items():
        for value in written:
            damage = partial(_set_task, key, value)
            yield Trial("bad task", f"{key}: {value:.30}", partial(run, sound, "wav2vec2", damage))


def _set_task(key: str, value: str, folder: Path) -> None:
    settings = yaml.safe_load((folder / TASK).read_text())
    settings.pop(key, None)
    (folder / TASK).write_text(yaml.safe_dump(settings) + f"{key}: {value}\n")


def _json_change(name: str, values: Mapping[str, Any]) -> Callable[[str], Write]:
    return lambda family: lambda folder: zoo.edit(name, **values)(folder / family)


def _header(change: Callable[[dict[str, Any]], object], stated: int | None = None) -> Callable[[str], Write]:
    """The weights with another header, or of another stated length."""

    def of(family: str) -> Write:
        def damage(folder: Path) -> None:
            path = folder / family / "model.safetensors"
            data = path.read_bytes()
            (length,) = struct.unpack_from("<Q", data)
            header = json.loads(data[8 : 8 + length])
            change(header)
            made = json.dumps(header).encode()
            path.write_bytes(
                struct.pack("<Q", len(made) if stated is None else stated) + made + data[8 + length :]
            )

        return damage

    return of


def _of_first(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda header: header[next(name for name in header if name != "__metadata__")].update(values)


def _file(name: str, data: bytes) -> Callable[[str], Write]:
    return lambda family: lambda folder: (folder / family / name).write_bytes(data)


def _models(sound: Sound) -> Iterator[Trial]:
    deep = b'{"a":' * 50_000
    sizes = {
        "whisper": (
            "d_model",
            "encoder_layers",
            "decoder_layers",
            "vocab_size",
            "num_mel_bins",
            "max_source_positions",
            "max_target_positions",
            "encoder_attention_heads",
            "encoder_ffn_dim",
            "decoder_ffn_dim",
        ),
        "moonshine": (
            "hidden_size",
            "intermediate_size",
            "encoder_num_hidden_layers",
            "decoder_num_hidden_layers",
            "vocab_size",
            "encoder_num_attention_heads",
            "max_position_embeddings",
        ),
        "wav2vec2": (
            "hidden_size",
            "num_hidden_layers",
            "intermediate_size",
            "vocab_size",
            "num_attention_heads",
            "num_conv_pos_embeddings",
            "num_conv_pos_embedding_groups",
        ),
    }
    for family in FAMILIES:
        changes: dict[str, Callable[[str], Write]] = {
            **{
                f"{key} = {value:,}": _json_change("config.json", {key: value})
                for key in sizes[family]
                for value in (-1, 0, 10**9, HUGE)
            },
            **{
                f"model_type = {value!r:.30}": _json_change("config.json", {"model_type": value})
                for value in (None, "", "bert", ESCAPES, 5, [], "whisper\0")
            },
            **{
                f"{name} is {what}": _file(name, data)
                for name in (
                    "config.json",
                    "tokenizer_config.json",
                    "preprocessor_config.json",
                    "processor_config.json",
                )
                for what, data in {
                    "deep": deep,
                    "UTF-16": '{"a": 1}'.encode("utf-16"),
                    "NaN": b'{"a": NaN}',
                    "a key twice": b'{"a": 1, "a": 2}',
                    "a list": b"[]",
                }.items()
            },
            "an auto_map of code": _json_change(
                "config.json", {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
            ),
            "quantised": _json_change("config.json", {"quantization_config": {"quant_method": ESCAPES}}),
            "a header of 2^63": _header(lambda _: None, 2**63 - 1),
            "a header of nothing": _header(lambda _: None, 0),
            "a shape of 10^15": _header(_of_first(shape=[10**15])),
            "a negative shape": _header(_of_first(shape=[-1])),
            "offsets beyond the file": _header(_of_first(data_offsets=[0, 2**60])),
            "offsets that overlap": _header(_of_first(data_offsets=[0, 64])),
            "an unknown type": _header(_of_first(dtype="F31")),
            "no header": _header(dict.clear),
            "a tensor named by escapes": _header(
                lambda header: header.update(
                    {ESCAPES: header.pop(next(n for n in header if n != "__metadata__"))}
                )
            ),
            "weights of NaN": lambda family: (
                lambda folder: zoo.tensors(
                    lambda held: {
                        k: v * float("nan") if v.is_floating_point() else v for k, v in held.items()
                    }
                )(folder / family)
            ),
            "weights pickled": lambda family: (
                lambda folder: (
                    (folder / family / "model.safetensors").unlink(),
                    (folder / family / "pytorch_model.bin").write_bytes(
                        b"\x80\4cos\nsystem\n(S'touch owned'\ntR."
                    ),
                )
            ),
        }
        for name, change in changes.items():
            yield Trial("bad model", f"{family}: {name}", partial(run, sound, family, change(family)))


def bad_models(sound: Sound) -> Iterator[Trial]:
    """All trials of this module."""
    yield from _tasks(sound)
    yield from _models(sound)
