"""Language adapters of wav2vec 2.0: one network, small weights and letters for each language (MMS).

A folder holds the network with the adapter that it was saved with, others as `adapter.LANG.safetensors`, and
the letters of all languages in a nested vocab.json. LANG is a code of ISO 639-3, some with a script
(`urd-script_arabic`). An adapter adds to the residual stream at the end of a block, before the site after it;
it is no component with a site of its own. Pratap et al. 2023, Scaling speech technology to 1,000+ languages.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from safetensors import safe_open

from innerear.data.language import language_code
from innerear.models.folders import adapter_code, adapter_file, explained, read_json
from innerear.models.weights import files_sha256
from innerear.util.errors import InputError

HEAD = "lm_head.weight"


@dataclass(frozen=True)
class LanguageAdapter:
    """The adapter in use.

    Attributes
    ----------
    language
        Its language, as the folder spells it; empty where a model has none.
    path
        Its weights; None where they are those that the network was saved with.
    """

    language: str = ""
    path: Path | None = None

    @classmethod
    def of(cls, config: Any, folder: Path, language: str) -> Self:
        """The adapter for a registered language, or the one that a folder was saved with.

        Raises
        ------
        InputError
            If there is none for the language, or more than one, or the vocabulary is not that of the weights.
        """
        if getattr(config, "adapter_attn_dim", None) is None:
            return cls()
        vocabularies = read_json(folder / "vocab.json") or {}
        known = {name for name, letters in vocabularies.items() if isinstance(letters, dict)}
        saved = str((read_json(folder / "tokenizer_config.json") or {}).get("target_lang") or "")
        if not known:
            return cls()
        chosen = _chosen(known, language, folder) if language else saved
        if chosen not in known:
            raise InputError(
                f"{folder}: tokenizer_config.json: target_lang is {chosen!r}, which vocab.json does not "
                "have; set it to the language of the weights"
            )
        path = folder / adapter_file(chosen) if language else None
        if path is None or not path.is_file():
            if chosen != saved:
                raise InputError(
                    f"{folder}: holds no {adapter_file(chosen)}, and was saved with the adapter of "
                    f"{saved!r}; copy the adapter from the model's source, too"
                )
            path = None
        adapter = cls(chosen, path)
        size, letters = adapter._vocabulary(config), len(vocabularies[chosen])
        if size != letters:
            raise InputError(
                f"{folder}: vocab.json has {letters} letters for {chosen}, but its adapter writes {size}; "
                "one of the two is of another language"
            )
        return adapter

    def _vocabulary(self, config: Any) -> int:
        """Size of the adapter's vocabulary."""
        if self.path is None:
            return int(config.vocab_size)
        with explained(self.path.parent, self.path.name), safe_open(self.path, "pt") as file:
            return int(file.get_slice(HEAD).get_shape()[0])

    def adjust(self, config: Any) -> None:
        """Give a configuration the size of the adapter's vocabulary."""
        if self.path is not None:
            config.vocab_size = self._vocabulary(config)

    def parts(self) -> dict[str, str]:
        """What it adds to the identity of a model whose weights it replaces in part."""
        if self.path is None:
            return {}
        return {"adapter": f"{self.language} {files_sha256([self.path])}"}

    def load(self, network: Any) -> None:
        """Put its weights into the network of its folder.

        Raises
        ------
        InputError
            If its tensors are not those of the network's adapters and head.
        """
        if self.path is None:
            return
        with explained(self.path.parent, self.path.name):
            network.load_adapter(self.language, use_safetensors=True, local_files_only=True)


def _chosen(known: set[str], language: str, folder: Path) -> str:
    """The vocabulary of a language, which may be spelt as the folder does."""
    fit = sorted(name for name in known if adapter_code(name) == language_code(language))
    if language in fit or len(fit) == 1:
        return language if language in fit else fit[0]
    found = f"it has {', '.join(fit)}; register one of these" if fit else "vocab.json does not have it"
    raise InputError(f"{folder}: which adapter is for the language {language!r}? {found}")
