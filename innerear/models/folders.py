"""What is in a model's folder, told from names and headers alone; nothing here needs torch."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from innerear.data.language import language_code
from innerear.util.errors import InnerearError, InputError
from innerear.util.reading import MOST_JSON, parse_json, read_bytes, regular

_POINTER = b"version https://git-lfs"
_WHOLE = "load the model that was quantised, or dequantise it, and save it in float with `save_pretrained`"
_SOURCE = "take the same model in transformers' format (config.json and model.safetensors) from its publisher"
_FORMATS = (
    ("*.nemo", "holds a NeMo model; innerear reads models in transformers' format only"),
    ("*.gguf", f"holds GGUF weights (llama.cpp, whisper.cpp); {_SOURCE}"),
    ("*ggml*.bin", f"holds ggml weights (whisper.cpp); {_SOURCE}"),
    ("vocabulary.*", f"holds a CTranslate2 model (faster-whisper), which has no way back; {_SOURCE}"),
    ("*.onnx", f"holds ONNX graphs; {_SOURCE}"),
    ("*.tflite", f"holds a TensorFlow Lite graph; {_SOURCE}"),
    ("*.mlmodelc", f"holds a Core ML model; {_SOURCE}"),
    ("weights.npz", f"holds MLX weights; {_SOURCE}"),
    ("weights.safetensors", f"holds MLX weights; {_SOURCE}"),
    ("tf_model.h5", "holds TensorFlow weights only; load them with `from_tf=True` and `save_pretrained`"),
    ("flax_model.msgpack", "holds Flax weights only; load them with `from_flax=True` and `save_pretrained`"),
    ("pytorch_model*.bin", "holds pickled weights, which can run code when they are loaded; where you trust "
     "them, load them once with transformers and `save_pretrained`, which writes model.safetensors"),
    ("global_step*/*", "holds a DeepSpeed checkpoint; run its zero_to_fp32.py, then `save_pretrained`"),
    ("optimizer.pt", "holds the state of a Trainer without weights; give the checkpoint that has "
     "model.safetensors"),
    ("model-*-of-*.safetensors", "lacks model.safetensors.index.json, the table of its parts; copy it, too"),
    ("model.bin", f"holds model.bin alone (CTranslate2?); {_SOURCE}"),
    ("*.pt", "holds a PyTorch checkpoint (OpenAI's, fairseq's, …); convert it with the script of its family "
     "in transformers (convert_openai_to_hf.py, convert_*_original_pytorch_checkpoint_to_pytorch.py)"),
    ("*.ckpt", "holds a training checkpoint (Lightning, SpeechBrain); innerear reads models in transformers' "
     "format only"),
    ("*.pth", "holds a PyTorch checkpoint (ESPnet, …); innerear reads models in transformers' format only"),
)  # fmt: skip
"""Files by which formats are known, and what to say; tried in order where there is no model.safetensors."""


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON table of a folder; None if there is no such file.

    Raises
    ------
    InputError
        If the file is damaged or holds something else.
    """
    try:
        value = parse_json(read_bytes(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); copy or save it again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no table of settings; copy or save it again")
    return value


@contextmanager
def explained(folder: Path, part: str) -> Iterator[None]:
    """Turn whatever `transformers` raises on a damaged folder into an `InputError` of one line."""
    try:
        yield
    except InnerearError:
        raise
    except ImportError as error:
        library = re.search(r"requires the (\w+) library", str(error))
        if library is None:
            raise
        raise InputError(
            f"{folder}: its {part} needs {library[1]}, which is not installed: "
            f"`pip install {library[1].lower()}`"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{folder}: its {part} cannot be loaded ({type(error).__name__}: {reason}); "
            "save it again, or copy the file from the model that this one was made from"
        ) from error


def foreign_format(names: Collection[str], config: Mapping[str, Any] | None) -> str | None:
    """What a folder holds instead of a model in `transformers`' format, and what to do, if names tell.

    Parameters
    ----------
    names
        Paths of its files, relative to it.
    config
        Its config.json, if there is one.
    """
    quantised = (config or {}).get("quantization_config")
    if quantised is not None:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        return f"holds quantised weights ({method or 'quantization_config'}); {_WHOLE}"
    if any(name.startswith("adapter_model.") or name == "adapter_config.json" for name in names):
        return (
            "holds a PEFT adapter (LoRA), not a model; load it on its base model with peft, then "
            "`merge_and_unload()` and `save_pretrained` of model and processor"
        )
    if "model.safetensors" in names or "model.safetensors.index.json" in names:
        return None
    return next(
        (message for pattern, message in _FORMATS if any(fnmatch(name, pattern) for name in names)), None
    )


def foreign_file(path: Path) -> str:
    """Why a single file is no model, and what to do."""
    known = foreign_format([path.name], None)
    if known is None and path.suffix == ".safetensors":
        known = "is the weights alone; give its folder, with config.json and the tokenizer's files"
    return f"{path}: {known or 'is not a model; give a folder with config.json and model.safetensors'}"


def check_folder(folder: Path) -> dict[str, Any]:
    """The config.json of a folder that holds a model in `transformers`' format.

    Raises
    ------
    InputError
        If it holds something else; the line says what, and what to do.
    """
    inside = [path for pattern in ("*", "onnx/*", "global_step*/*") for path in folder.glob(pattern)]
    names = sorted(path.relative_to(folder).as_posix() for path in inside)
    for path in inside:
        if path.exists() and (path.suffix == ".json" or not path.is_dir()):
            regular(path, MOST_JSON if path.suffix in (".json", ".txt", ".model") else None)
    loaded = (path for path in inside if path.suffix in (".safetensors", ".json", ".txt"))
    if pointer := next((path for path in loaded if path.is_file() and _is_pointer(path)), None):
        raise InputError(
            f"{pointer}: a Git-LFS pointer, not the file itself; run `git lfs pull` in the repository"
        )
    if broken := next((path for path in inside if path.is_symlink() and not path.exists()), None):
        raise InputError(f"{broken}: a link to a file that is not there; copy or fetch the model again")
    config = read_json(folder / "config.json")
    if foreign := foreign_format(names, config):
        raise InputError(f"{folder}: {foreign}")
    if config is not None:
        return config
    nested = sorted(path.parent for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/config.json"))
    instead = f"{nested[-1]} does" if nested else "give one that `save_pretrained` wrote"
    raise InputError(f"{folder}: holds no config.json; {instead}")


def _is_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def adapter_file(language: str) -> str:
    """The file of a language's adapter."""
    return f"adapter.{language}.safetensors"


def adapter_files(names: Iterable[str], language: str) -> list[str]:
    """Those of a repository's files that are adapters for a language."""
    wanted = adapter_code(language)
    return [
        name
        for name in names
        if wanted
        and name.startswith("adapter.")
        and name.endswith(".safetensors")
        and adapter_code(name.removeprefix("adapter.").removesuffix(".safetensors")) == wanted
    ]


def adapter_code(spelt: str) -> str:
    """Code of a language as files of adapters spell it (`urd-script_arabic`); empty if it is none."""
    try:
        return language_code(spelt.partition("-script_")[0])
    except InputError:
        return ""
