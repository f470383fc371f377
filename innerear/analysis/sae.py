"""A TopK sparse autoencoder on states, trained on a model's own states and saved in the format of sae-lens.

After Gao et al. 2024 (arXiv 2406.04093): a bias before the encoder, unit decoder rows, the k largest
activations, and an auxiliary loss that trains dead features on the residual error of the others.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from innerear.tasks.causal_settings import Dictionary
from innerear.util.errors import InputError
from innerear.util.io import atomic, write_json
from innerear.util.progress import bar
from innerear.util.reading import parse_json, read_bytes

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
CHUNK = 8192
"""Frames encoded at a time."""


@dataclass(frozen=True)
class SAE:
    """A TopK sparse autoencoder; it takes the model's states without normalisation.

    Attributes
    ----------
    w_enc, b_enc
        [dim, feature] and [feature].
    w_dec, b_dec
        [feature, dim], rows of unit norm, and [dim], which is also subtracted before encoding.
    k
        Maximum number of active features per frame.
    site
        The site its states come from.
    """

    w_enc: Tensor
    b_enc: Tensor
    w_dec: Tensor
    b_dec: Tensor
    k: int
    site: str = ""

    @torch.inference_mode()
    def top(self, states: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
        """The k largest activations of states [frame, dim], and their features, [frame, k] each."""
        parts = [
            _top(torch.as_tensor(part), self.w_enc, self.b_enc, self.b_dec, self.k)[:2]
            for part in torch.as_tensor(states).split(CHUNK)
        ]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def encode(self, states: np.ndarray | Tensor) -> Tensor:
        """Non-negative activations [frame, feature] of states [frame, dim], at most k per frame non-zero."""
        value, index = self.top(states)
        return torch.zeros(len(value), len(self.b_enc)).scatter(1, index, value)

    def decode(self, activations: Tensor) -> Tensor:
        """States [frame, dim] of activations [frame, feature]."""
        return activations @ self.w_dec + self.b_dec

    def reconstruct(self, states: np.ndarray | Tensor) -> Tensor:
        """States reconstructed from their k features, [frame, dim]."""
        value, index = self.top(states)
        return _sum(index, value, self.w_dec) + self.b_dec

    def save(self, folder: Path) -> None:
        """Write `cfg.json` and `sae_weights.safetensors` as sae-lens reads them; errors as `atomic`."""
        weights = {"W_enc": self.w_enc, "b_enc": self.b_enc, "W_dec": self.w_dec, "b_dec": self.b_dec}
        with atomic(folder / WEIGHTS) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, temporary)
        config = {
            "architecture": "topk", "d_in": len(self.b_dec), "d_sae": len(self.b_enc), "k": self.k,
            "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True,
            "normalize_activations": "none", "reshape_activations": "none",
            "rescale_acts_by_decoder_norm": False, "metadata": {"hook_name": self.site},
        }  # fmt: skip
        write_json(folder / CONFIG, config)

    @classmethod
    def load(cls, folder: Path) -> "SAE":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the folder holds no TopK autoencoder of states without normalisation.
        """
        try:
            config = parse_json(read_bytes(folder / CONFIG))
            plain = config["architecture"] == "topk" and config["normalize_activations"] == "none"
            if not plain or config.get("rescale_acts_by_decoder_norm"):
                raise InputError(
                    f"{folder}: not a TopK autoencoder of states without normalisation; give another"
                )
            kept = load_file(folder / WEIGHTS)
            return cls(
                kept["W_enc"], kept["b_enc"], kept["W_dec"], kept["b_dec"], config["k"],
                config["metadata"]["hook_name"],
            )  # fmt: skip
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise InputError(
                f"{folder}: holds no sparse autoencoder ({error}); give a folder with {CONFIG} and {WEIGHTS}"
            ) from error


def train(states: np.ndarray, settings: Dictionary, seed: int, site: str = "") -> SAE:
    """Train on states [frame, dim], float32; the same seed gives the same weights on a CPU.

    States are scaled to a mean norm of sqrt(dim) for training; the scale is folded into the biases after.

    Raises
    ------
    InputError
        If there are no states, they are not finite, or all the same.
    """
    frames, dim = states.shape
    x = torch.from_numpy(states)
    if not frames or not torch.isfinite(x).all() or not (x != x[0]).any():
        raise InputError(f"{site}: {frames} states from which no dictionary can be learnt; give more clips")
    rng = torch.Generator().manual_seed(seed)
    width = settings.expansion * dim
    scale = float(dim**0.5 / x.norm(dim=1).mean())
    w_dec = functional.normalize(torch.randn(width, dim, generator=rng), dim=1)
    parameters = [w_dec.T.clone(), torch.zeros(width), w_dec, scale * x.mean(dim=0)]
    w_enc, b_enc, w_dec, b_dec = (each.requires_grad_() for each in parameters)
    variance = (scale * (x - x.mean(dim=0))).square().sum(dim=1).mean()
    adam = torch.optim.Adam(parameters, lr=settings.rate)
    last = settings.steps / 5  # the rate falls to zero over the last fifth
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, (settings.steps - step) / last))
    silent = torch.zeros(width, dtype=torch.int64)  # steps since a feature was active
    with bar(f"{site}: sparse autoencoder, seed {seed}", settings.steps) as advance:
        for _ in range(settings.steps):
            batch = scale * x[torch.randint(frames, (settings.batch,), generator=rng)]
            # b_dec learns as a bias of the output alone, which saves a pass back through the encoder
            value, index, before = _top(batch, w_enc, b_enc, b_dec.detach(), settings.k)
            error = batch - _sum(index, value, w_dec) - b_dec
            loss = error.square().sum(dim=1).mean() / variance
            silent += 1
            silent[index[value > 0].unique()] = 0
            dead = torch.nonzero(silent > settings.dead_after)[:, 0]
            if len(dead):
                found, at = before[:, dead].topk(min(dim // 2, len(dead)), dim=1)
                missed = error.detach()
                left = (missed - _sum(dead[at], found.relu(), w_dec)).square().sum() / missed.square().sum()
                loss = loss + settings.revive * left
            adam.zero_grad()
            loss.backward()
            with torch.no_grad():
                assert w_dec.grad is not None
                w_dec.grad -= (w_dec.grad * w_dec).sum(dim=1, keepdim=True) * w_dec  # along the sphere
                adam.step()
                schedule.step()
                w_dec.copy_(functional.normalize(w_dec, dim=1))
            advance()
    # TopK commutes with a positive scale, so only the biases have to be rescaled
    return SAE(
        w_enc.detach(), b_enc.detach() / scale, w_dec.detach(), b_dec.detach() / scale, settings.k, site
    )


def _top(x: Tensor, w_enc: Tensor, b_enc: Tensor, b_dec: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k largest activations, their features, and the pre-activations of all features."""
    before = (x - b_dec) @ w_enc + b_enc
    value, index = before.topk(k, dim=1)
    return value.relu(), index, before


def _sum(index: Tensor, value: Tensor, rows: Tensor) -> Tensor:
    """Weighted sum of the rows of each frame, [frame, dim]."""
    return functional.embedding_bag(index, rows, per_sample_weights=value, mode="sum")
