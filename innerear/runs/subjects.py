"""What a run measures: models, their random twins, floors and methods, each known by its hash."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from innerear.activations.forward import Listener
from innerear.models.loading import TWIN, Opened, assemble
from innerear.models.networks import load_network
from innerear.models.registry import ModelSpec
from innerear.models.weights import Fetched
from innerear.util.errors import InnerearError
from innerear.util.io import sha256_json, write_json


@dataclass(frozen=True)
class Subject:
    """A model or floor that is loaded only if a result of it is missing in the store.

    Attributes
    ----------
    sha256
        Its hash, by which results are found.
    twin_of, seed
        Of a random twin: the model, and the seed that it is drawn from.
    twins
        Hashes of the twins of a model, by seed.
    """

    name: str
    sha256: str
    load: Callable[[], Listener]
    twin_of: str | None = None
    seed: int | None = None
    twins: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def all_of(
        cls,
        spec: ModelSpec,
        fetched: Fetched,
        seeds: Sequence[int],
        device: str,
        dtype: str,
        cache: Path | None,
    ) -> list["Subject"]:
        """The random twins of a model, one for each seed in use, then the model itself.

        Nothing is loaded or drawn of which the hash is known, until it is asked to listen.

        Parameters
        ----------
        cache
            Folder in which the hashes of twins are kept for later runs; None to draw every twin.

        Raises
        ------
        InputError
            If the model cannot be loaded: its twins are not drawn for nothing.
        """
        opened = Opened.of(spec, fetched.folder)
        twins = [cls._twin(spec, fetched, opened, seed, device, dtype, cache) for seed in sorted(set(seeds))]
        sha256 = sha256_json(opened.parts(fetched.weights_sha256, dtype))
        return [
            *twins,
            cls(
                spec.name,
                sha256,
                lambda: assemble(spec, fetched, device=device, dtype=dtype),
                twins={twin.seed: twin.sha256 for twin in twins if twin.seed is not None},
            ),
        ]

    @classmethod
    def _twin(
        cls,
        spec: ModelSpec,
        fetched: Fetched,
        opened: Opened,
        seed: int,
        device: str,
        dtype: str,
        cache: Path | None,
    ) -> "Subject":
        """A twin, drawn where the hash of its weights is not in the cache, else when it is to listen."""
        path = cache and cache / "twins" / f"{opened.twin_key(seed)}.json"

        def draw() -> Listener:
            load_network(spec.family, fetched.folder)  # a model that does not load has no twin
            twin = assemble(spec, fetched, device=device, dtype=dtype, twin_seed=seed)
            if path:
                write_json(path, {"weights": twin.identity.weights_sha256})
            return twin

        if path is None or (drawn := _kept(path)) is None:
            return cls.loaded(draw(), spec.name)
        return cls(spec.name + TWIN, sha256_json(opened.twin_parts(drawn, dtype)), draw, spec.name, seed)

    def listener(self) -> Listener:
        """Load it.

        Raises
        ------
        InnerearError
            If it is no longer the one whose hash is known.
        """
        found = self.load()
        if found.identity.sha256 != self.sha256:
            raise InnerearError(
                f"{self.name}: it is not the one whose hash was known, its files changed; run again"
            )
        return found

    @classmethod
    def loaded(cls, listener: Listener, twin_of: str | None = None) -> "Subject":
        """One that is in memory."""
        identity = listener.identity
        return cls(identity.name, identity.sha256, lambda: listener, twin_of, identity.seed)


def _kept(path: Path) -> str | None:
    """Hash of a twin's weights from the cache; None where it is not whole."""
    try:
        kept = json.loads(path.read_bytes())["weights"]
        return kept if isinstance(kept, str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
