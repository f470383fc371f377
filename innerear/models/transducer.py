"""Transducer recognisers: at each frame, a joint network emits tokens, or the blank that moves on.

It reads the encoder's state of the frame and the state of a predictor, an LSTM over the tokens emitted so far
(Graves 2012, arXiv 1211.3711). A token-and-duration transducer also says for how many frames each emission
stands (Xu et al. 2023, arXiv 2304.06795). The predictor starts from the blank.

`transformers` calls the parts `encoder_projector`, `decoder` (the predictor) and `joint` in all of them.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from innerear.models.base import Identity, Transcript
from innerear.models.emitting import Acting, Emissions, EmittingModel, Stop
from innerear.models.family import Family
from innerear.models.lattice import total_log_prob
from innerear.models.site import Site
from innerear.models.sites import Place, wide

Memory = list[tuple[Tensor, Tensor]]
"""What each layer of the predictor remembers of each row: hidden and cell state, [1, row, dim]."""

_CHUNK = 32
"""Frames whose joint states are held at a time where a whole lattice is scored."""


@dataclass
class Path:
    """The steps of greedy decoding through one clip.

    Attributes
    ----------
    frames, tokens, log_probs
        Of every step, blanks included: the frame, what was emitted there, and its log-probability (nats)
        among all tokens.
    written
        The tokens without blanks.
    frame
        Where the next step is.
    ended
        Whether all frames were passed, before a limit was hit.
    """

    frames: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    frame: int = 0
    ended: bool = False


class Transducer(EmittingModel):
    """A `transformers` transducer.

    Its sites beyond those of the encoder are `predictor.0` (the embedded token) to `predictor.L`, whose
    positions count the tokens before it, and `joint`, what the output projection reads, whose positions count
    the steps of decoding. What is written at a layer of the predictor is handed on, not remembered: the
    layer's own memory is inside the LSTM.
    """

    blank_setting = "blank_token_id"

    def __init__(self, identity: Identity, network: Any, family: Family, *others: Any, **more: Any) -> None:
        super().__init__(identity, network, family, *others, **more)
        config = network.config
        self._size = int(config.vocab_size)
        self._most = int(config.max_symbols_per_step)
        self._durations: tuple[int, ...] = tuple(getattr(config, "durations", ()))
        layers = network.decoder.layers = single_layers(network.decoder.lstm)
        self.places[Site("predictor", 0)] = Place("decoder.layers.0", "input")
        for layer in range(1, len(layers) + 1):
            self.places[Site("predictor", layer)] = Place(f"decoder.layers.{layer - 1}", "output")
        self.places[Site("joint", 0)] = Place(family.head, "input")

    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """The tokens of `paths`, with the frame at which each was emitted."""
        return [self.transcript(path) for path in self.paths(encoded, max_tokens)]

    def emit(
        self, encoded: Tensor, max_tokens: int | None, acting: Acting, stop: Stop | None
    ) -> list[Transcript]:
        """As `greedy_decode`, with interventions in predictor and joint."""
        return [self.transcript(path) for path in self.paths(encoded, max_tokens, acting, stop)]

    def paths(
        self,
        encoded: Tensor,
        max_tokens: int | None = None,
        acting: Acting = lambda stack, rows, positions: nullcontext(),
        stop: Stop | None = None,
    ) -> list[Path]:
        """Decode rows greedily, [row, frame, dim]; each goes its own way.

        A plain transducer leaves a frame after `max_symbols_per_step` tokens. One with durations may stay,
        until it has taken so many steps for each frame; `transformers` counts its masked frame, too.

        Parameters as `emit`.
        """
        paths, length = [Path() for _ in encoded], encoded.shape[1]
        alive = list(range(len(paths)))
        with torch.inference_mode():
            heard = self._projected(encoded)
            with acting("predictor", alive, [0] * len(alive)):
                start = torch.full((len(alive), 1), self.blank, device=self.device)
                predicted, memory = self._predict(start)
            while alive:
                frames = [paths[row].frame for row in alive]
                with acting("joint", alive, [len(paths[row].tokens) for row in alive]):
                    logits = self._joint(heard[alive, frames][:, None], predicted[alive])[:, 0]
                for row, token, log_prob, move in zip(alive, *self._emitted(logits), strict=True):
                    self._walk(paths[row], token, log_prob, move)
                wrote = [row for row in alive if paths[row].tokens[-1] != self.blank]
                alive = [row for row in alive if not self._over(paths[row], length, max_tokens, stop)]
                if fed := [row for row in wrote if row in alive]:
                    tokens = torch.tensor([[paths[row].written[-1]] for row in fed], device=self.device)
                    with acting("predictor", fed, [len(paths[row].written) for row in fed]):
                        predicted[fed], new = self._predict(
                            tokens, [(hidden[:, fed], cell[:, fed]) for hidden, cell in memory]
                        )
                    for (hidden, cell), (new_hidden, new_cell) in zip(memory, new, strict=True):
                        hidden[:, fed], cell[:, fed] = new_hidden, new_cell
        return paths

    def spelt(self, tokens: Sequence[int]) -> str:
        """A repeated token is written twice."""
        return self._spelling.uncollapsed(tokens).strip()

    def transcript(self, path: Path) -> Transcript:
        """What was written along a path."""
        kept = [at for at, token in enumerate(path.tokens) if token != self.blank]
        return Transcript(
            self.spelt(path.written),
            tuple(path.written),
            tuple(path.log_probs[at] for at in kept),
            path.ended,
            tuple(path.frames[at] for at in kept),
        )

    def emissions(self, states: Tensor) -> Emissions:
        """The joint along the path of the last states; every other site is heard at the same steps."""
        with torch.inference_mode():
            encoded = self.encoder_norm(states)
            paths = self.paths(encoded)
            path = paths[-1]
            before = [0, *accumulate(token != self.blank for token in path.tokens)][:-1]
            fed = torch.tensor([[self.blank, *path.written]], device=self.device)
            predicted = self._predict(fed)[0][:, before]
            logits = self._joint(self._projected(encoded)[:, path.frames], predicted)
            log_probs = logits[..., : self._size].log_softmax(-1)
        return Emissions(log_probs, [self.transcript(each).text for each in paths])

    def log_likelihoods(self, encoded: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
        """By the forward algorithm; of tokens and durations."""
        with torch.inference_mode():
            heard = self._projected(encoded[0])
            return torch.tensor([self._log_likelihood(heard, text) for text in texts], dtype=torch.float64)

    def _log_likelihood(self, heard: Tensor, text: Sequence[int]) -> float:
        fed = torch.tensor([[self.blank, *text]], device=self.device)
        predicted = self._predict(fed)[0]
        blank, label, moves = [], [], []
        for part in heard.split(_CHUNK):
            logits = self._joint(part[:, None], predicted).double()
            scores = logits[..., : self._size].log_softmax(-1)
            blank.append(scores[..., self.blank])
            label.append(scores[:, torch.arange(len(text)), fed[0, 1:]])
            moves.append(logits[..., self._size :].log_softmax(-1))
        blanks, labels, last = (torch.cat(each).cpu().numpy() for each in (blank, label, moves))
        if not self._durations:
            still = blanks * 0
            return total_log_prob(blanks, labels, {1: still}, {0: still})
        by_duration = {each: last[..., at] for at, each in enumerate(self._durations)}
        return total_log_prob(blanks, labels, by_duration, by_duration)

    def spoken(self, tokens: Sequence[int]) -> list[int]:
        """The tokens without blanks."""
        return [token for token in tokens if token != self.blank]

    def _projected(self, encoded: Tensor) -> Tensor:
        """What the joint reads of frames [..., dim], told to detect the language where it can be told one."""
        if (told := getattr(self.network, "prompt_projector", None)) is not None:
            config = self.network.config
            prompt = encoded.new_zeros(*encoded.shape[:-1], config.num_prompts)
            prompt[..., config.default_prompt_id] = 1
            encoded = told(torch.cat([encoded, prompt], dim=-1))
        projected: Tensor = self.network.encoder_projector(encoded)
        return projected

    def _predict(self, tokens: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """Predictor states [row, token, dim] after further tokens [row, token], and what it remembers."""
        states, kept = self.network.decoder.embedding(tokens), []
        for at, layer in enumerate(self.network.decoder.layers):
            states, own = layer(states, memory and memory[at])
            kept.append(own)
        return self.network.decoder.decoder_projector(states), kept

    def _joint(self, heard: Tensor, predicted: Tensor) -> Tensor:
        """Logits of tokens, and of durations behind them, from states that broadcast to each other."""
        logits: Tensor = self.network.joint(encoder_hidden_states=heard, decoder_hidden_states=predicted)
        return wide(logits).to(self.device)

    def _emitted(self, logits: Tensor) -> tuple[list[int], list[float], list[int]]:
        """The best token of each row, its log-probability, and the frames to move by."""
        scores = logits[:, : self._size]
        tokens = scores.argmax(-1)
        log_probs = scores.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
        moves = tokens.eq(self.blank).long()
        if self._durations:
            durations = torch.tensor(self._durations, device=logits.device)
            moves = torch.maximum(moves, durations[logits[:, self._size :].argmax(-1)])
        return tokens.tolist(), log_probs.tolist(), moves.tolist()

    def _walk(self, path: Path, token: int, log_prob: float, move: int) -> None:
        path.frames.append(path.frame)
        path.tokens.append(token)
        path.log_probs.append(log_prob)
        if token != self.blank:
            path.written.append(token)
        here = path.frames[-self._most :]
        if not self._durations and len(here) == self._most and here[0] == path.frame:
            move = 1
        path.frame += move

    def _over(self, path: Path, length: int, max_tokens: int | None, stop: Stop | None) -> bool:
        """Whether a path is at its end, or at a limit."""
        path.ended = path.frame >= length
        full = max_tokens is not None and len(path.written) >= max_tokens
        full |= len(path.tokens) >= self._most * length
        return path.ended or full or (stop is not None and stop(path.written))


def single_layers(lstm: nn.LSTM) -> nn.ModuleList:
    """The layers of an LSTM as modules of their own, which share its weights."""
    layers = nn.ModuleList()
    for at in range(lstm.num_layers):
        layer = nn.LSTM(lstm.input_size, lstm.hidden_size, batch_first=True, device="meta")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(layer, f"{name}_l0", getattr(lstm, f"{name}_l{at}"))
        layer.flatten_parameters()  # as cuDNN wants them; elsewhere this does nothing
        layers.append(layer)
    return layers.eval()
