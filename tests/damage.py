"""Ways in which folders of models are damaged, incomplete or contradictory; each changes one thing."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

Change = Callable[[Path], object]

WEIGHTS = "model.safetensors"
VALUES = (None, "x", -1, 0, 7, [], {}, True, 1e9, [[1]])
"""What a value of a JSON file is replaced by."""


def edit(name: str, **values) -> Change:
    """Set keys of a JSON file; `...` removes one."""

    def change(folder):
        table = json.loads((folder / name).read_text())
        table = {key: value for key, value in {**table, **values}.items() if value is not ...}
        (folder / name).write_text(json.dumps(table))

    return change


def tensors(rewrite: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Change:
    """Rewrite the weights."""

    def change(folder):
        held = rewrite(load_file(folder / WEIGHTS))
        (folder / WEIGHTS).unlink()
        save_file(
            {key: value.contiguous() for key, value in held.items()}, folder / WEIGHTS, {"format": "pt"}
        )

    return change


def file_changes(folder: Path) -> Iterator[tuple[str, Change]]:
    """Every file removed, emptied, cut, or of another kind."""
    contents = {
        "emptied": b"",
        "cut": b'{"a": ',
        "binary": b"\xff\xfe\x00\x01",
        "a list": b"[1]",
        "a word": b'"x"',
    }
    for path in sorted(folder.iterdir()):
        yield f"{path.name} removed", lambda at, name=path.name: (at / name).unlink()
        for what, data in contents.items():
            yield f"{path.name} {what}", lambda at, name=path.name, data=data: (at / name).write_bytes(data)


def key_changes(folder: Path) -> Iterator[tuple[str, Change]]:
    """Every key of every JSON file removed, or of another value."""
    for path in sorted(folder.glob("*config.json")):
        for key in json.loads(path.read_text()):
            yield f"{path.name}: {key} removed", edit(path.name, **{key: ...})
            for value in VALUES:
                yield f"{path.name}: {key} = {value!r}", edit(path.name, **{key: value})


def tensor_changes(folder: Path) -> Iterator[tuple[str, Change]]:
    """Tensors removed, renamed, reshaped, added, and in other types."""
    for name in sorted(load_file(folder / WEIGHTS)):
        yield f"{name} removed", tensors(lambda held, name=name: {k: v for k, v in held.items() if k != name})
        yield (
            f"{name} reshaped",
            tensors(lambda held, name=name: held | {name: torch.cat([held[name], held[name]]).clone()}),
        )
        yield (
            f"{name} renamed",
            tensors(lambda held, name=name: {k + "x" * (k == name): v for k, v in held.items()}),
        )
    yield "no tensors", tensors(lambda held: {})
    yield "a tensor more", tensors(lambda held: held | {"extra.weight": torch.ones(2)})
    yield "prefix added", tensors(lambda held: {f"net.{k}": v for k, v in held.items()})
    yield "prefix removed", tensors(lambda held: {k.partition(".")[2]: v for k, v in held.items()})
    for dtype in (torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.float8_e4m3fn):
        yield f"in {dtype}", tensors(lambda held, dtype=dtype: {k: v.to(dtype) for k, v in held.items()})
    yield "last block removed", tensors(lambda held: {k: v for k, v in held.items() if ".layers.2." not in k})
    yield (
        "a block more",
        tensors(
            lambda held: (
                held
                | {
                    k.replace(".layers.1.", ".layers.9."): v.clone()
                    for k, v in held.items()
                    if ".layers.1." in k
                }
            )
        ),
    )


def copied(folder: Path, target: Path, change: Change) -> Path:
    """A changed copy of a folder."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    change(target)
    return target
