"""What a run measures: models, their random twins, floors and methods, each known by its hash."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from innerear.activations.forward import Listener
from innerear.models.loading import assemble, model_parts_of
from innerear.models.networks import load_network
from innerear.models.registry import ModelSpec
from innerear.models.weights import Fetched
from innerear.util.errors import InnerearError
from innerear.util.io import sha256_json


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
    def all_of(cls, spec: ModelSpec, fetched: Fetched, seeds: Sequence[int], device: str) -> list["Subject"]:
        """The random twins of a model, one for each seed in use, then the model itself.

        Raises
        ------
        InputError
            If the model cannot be loaded: its twins are not measured for nothing.
        """
        if seeds:
            load_network(spec.family, fetched.folder)
        twins = [
            cls.loaded(assemble(spec, fetched, device=device, twin_seed=seed), spec.name)
            for seed in sorted(set(seeds))
        ]
        sha256 = sha256_json(model_parts_of(spec, fetched))
        return [
            *twins,
            cls(
                spec.name,
                sha256,
                lambda: assemble(spec, fetched, device=device),
                twins={twin.seed: twin.sha256 for twin in twins if twin.seed is not None},
            ),
        ]

    def listener(self) -> Listener:
        """Load it.

        Raises
        ------
        InnerearError
            If it is no longer the one whose hash is known.
        """
        found = self.load()
        if found.identity.sha256 != self.sha256:
            raise InnerearError(f"{self.name}: its files changed while it was loaded; run again")
        return found

    @classmethod
    def loaded(cls, listener: Listener, twin_of: str | None = None) -> "Subject":
        """One that is in memory."""
        identity = listener.identity
        return cls(identity.name, identity.sha256, lambda: listener, twin_of, identity.seed)
