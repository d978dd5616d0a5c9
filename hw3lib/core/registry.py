"""What has a name and is imported when it is asked for: names cost nothing, and using one costs one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pkgutil import resolve_name
from typing import Any, TypeVar, cast

Thing = TypeVar("Thing")


class Registry(Mapping[str, Thing]):
    """Things by name, each given as the text ``package.module:attribute``; looking one up imports its module.

    Args:
        places: name to text; a name's order is kept.
    """

    def __init__(self, places: Mapping[str, str]):
        self._places = dict(places)

    def __getitem__(self, name: str) -> Thing:
        return cast(Thing, resolve_name(self._places[name]))

    def __contains__(self, name: Any) -> bool:
        return name in self._places  # the mapping's own would import it

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
