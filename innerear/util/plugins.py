"""Tables that other packages extend: their own entries, and those of entry points."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from innerear.util.errors import InputError

T = TypeVar("T")


class Extended(Mapping[str, T], Generic[T]):
    """A table by name: entries of innerear, then those of installed packages, loaded when they are used.

    Parameters
    ----------
    group
        Entry point group under which packages register entries, such as `innerear.families`.
    what
        What an entry is, for messages.
    built_in
        The entries of innerear.
    fits
        Whether what an entry point loads can be an entry.
    """

    def __init__(self, group: str, what: str, built_in: Mapping[str, T], fits: Callable[[Any], bool]) -> None:
        self._group = group
        self._what = what
        self._built_in = built_in
        self._fits = fits
        self._loaded: dict[str, T] = {}

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self._group):
            if entry.name in self._built_in or entry.name in found:
                raise InputError(
                    f"{entry.value}: a {self._what} {entry.name!r} already exists; choose another name"
                )
            found[entry.name] = entry
        return found

    def __getitem__(self, name: str) -> T:
        """The entry of a name.

        Raises
        ------
        KeyError
            If there is none.
        InputError
            If a package's entry cannot be imported, or is something else.
        """
        if name in self._built_in:
            return self._built_in[name]
        if name not in self._loaded:
            entry = self._plugins[name]
            try:
                loaded = entry.load()
            except Exception as error:  # it is the code of others that runs here
                raise InputError(
                    f"{entry.value}: the {self._what} {name!r} cannot be loaded ({error})"
                ) from error
            if not self._fits(loaded):
                raise InputError(f"{entry.value}: {name!r} is no {self._what} but {type(loaded).__name__}")
            self._loaded[name] = loaded
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry of a name; nothing is loaded."""
        return name in self._built_in or name in self._plugins

    def __iter__(self) -> Iterator[str]:
        """Names, those of innerear first."""
        yield from self._built_in
        yield from self._plugins

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._built_in) + len(self._plugins)
