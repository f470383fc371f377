"""The name of a place in a model, as a value: `decoder.2.cross_attn.head.5` and its parts.

Needs no torch, so that results and reports can use it. Where a site is in a network is in
`innerear.models.sites`.
"""

import re
from typing import Any, Literal, cast

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from innerear.util.errors import InputError

StackName = Literal["encoder", "decoder", "predictor", "joint"]
Part = Literal["first_mlp", "self_attn", "cross_attn", "conv", "mlp"]

DECODER_PARTS: tuple[Part, ...] = ("self_attn", "cross_attn", "mlp")
"""Components of a decoder block, in the order in which it runs them."""
PARTS: tuple[Part, ...] = ("first_mlp", "self_attn", "cross_attn", "conv", "mlp")
"""Components of any block. A Conformer block (Gulati et al. 2020) has a convolution, and its MLP in two: the
first before the attention, and `mlp`, with which it ends as other blocks do."""

_NUMBER = "(0|[1-9][0-9]*)"
_FORM = re.compile(
    rf"(encoder|decoder|predictor|joint)(?:\.{_NUMBER})?(?:\.({'|'.join(PARTS)})(?:\.head\.{_NUMBER})?)?"
)
_HELP = (
    "sites look like encoder.0, decoder.2, decoder.2.mlp, decoder.2.cross_attn.head.5, predictor.1 or joint"
)


class Site(str):
    """A named place in a model.

    A site is its own name: it equals the plain string, hashes like it, and is written like it to JSON.

    Parameters
    ----------
    stack
        `encoder` or `decoder`; in a transducer `predictor` (an LSTM) and `joint` (what its output projection
        reads), which has no layers: its name is `joint` alone.
    layer
        Number of the block, from 1; 0 is the embedding output, which has no components.
    part
        Component of the block; None is the residual stream after it.
    head
        Head of an attention, from 0; None is the whole component.

    Raises
    ------
    InputError
        If no model can have such a site.
    """

    __slots__ = ("_head", "_layer", "_part", "_stack")
    _stack: StackName
    _layer: int
    _part: Part | None
    _head: int | None

    def __new__(
        cls, stack: StackName, layer: int, part: Part | None = None, head: int | None = None
    ) -> "Site":
        """Put the name together and check it."""
        name = "joint" if stack == "joint" and layer == 0 else f"{stack}.{layer}"
        if part is not None:
            name += f".{part}"
        if head is not None:
            name += f".head.{head}"
        return cls.parse(name)

    @classmethod
    def parse(cls, name: str) -> "Site":
        """The site of this name.

        Raises
        ------
        InputError
            If it is not the name of a site.
        """
        if isinstance(name, Site):
            return name
        site = cls.parse_or_none(name)
        if site is None:
            raise InputError(f"{name!r} is not a site; {_HELP}")
        return site

    @classmethod
    def parse_or_none(cls, name: str) -> "Site | None":
        """The site of this name; None for other names, such as those of floors (`log-mel`)."""
        if isinstance(name, Site):
            return name
        match = _FORM.fullmatch(name)
        if match is None:
            return None
        stack, layer, part, head = match.groups()
        if (layer is None) != (stack == "joint"):
            return None
        if part is not None and (stack in ("predictor", "joint") or layer == "0"):
            return None
        if head is not None and not part.endswith("attn"):
            return None
        site = str.__new__(cls, name)
        site._stack = cast(StackName, stack)
        site._layer = int(layer or 0)
        site._part = cast(Part | None, part)
        site._head = None if head is None else int(head)
        return site

    @property
    def stack(self) -> StackName:
        """`encoder`, `decoder`, `predictor` or `joint`."""
        return self._stack

    @property
    def layer(self) -> int:
        """Number of the block, from 1; 0 is the embedding output."""
        return self._layer

    @property
    def part(self) -> Part | None:
        """Component of the block; None for the residual stream."""
        return self._part

    @property
    def head(self) -> int | None:
        """Head of an attention, from 0; None if the site is not a head."""
        return self._head

    @property
    def is_residual(self) -> bool:
        """Whether this is the residual stream."""
        return self._part is None

    @property
    def is_head(self) -> bool:
        """Whether this is a single head."""
        return self._head is not None

    @property
    def residual(self) -> "Site":
        """The residual stream after the block that the site is in."""
        return Site(self._stack, self._layer)

    @property
    def component(self) -> "Site":
        """The component that a head belongs to; other sites themselves."""
        return Site(self._stack, self._layer, self._part)

    def __getnewargs__(self) -> Any:
        return self._stack, self._layer, self._part, self._head

    def __getstate__(self) -> None:
        """Nothing beyond the arguments of the constructor."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls._validated, core_schema.str_schema())

    @classmethod
    def _validated(cls, name: str) -> "Site":
        site = cls.parse_or_none(name)
        if site is None:
            raise PydanticCustomError("site", "this is not a site; {help}", {"help": _HELP})
        return site
