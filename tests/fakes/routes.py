"""Every address that an application answers, asked from the application itself."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.routing import Mount, Route

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """One path, as it is declared, and the methods it takes."""

    path: str
    methods: tuple[str, ...]

    def filled(self, values: Mapping[str, str]) -> str:
        """Fill in the parameters; one that nobody knows becomes a number."""
        return _PARAMETER.sub(lambda found: values.get(found[1], "1"), self.path)


def addresses(app: FastAPI) -> list[Address]:
    """Return all of an application, mounted ones included."""
    return sorted(_of(app.routes, ""))


def _of(routes: list[Any], prefix: str) -> Iterator[Address]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _of(list(route.routes), prefix + route.path)
        elif isinstance(route, Route):
            yield Address(prefix + route.path, tuple(sorted(route.methods or ())))
        else:
            # Something that this walk would pass by unseen.
            raise TypeError(f"what is {route!r}?")
