"""Which binding a request is for. Of several that match, the one declared last wins, as with grpc-gateway."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.gateway.bindings import Binding
from services.gateway.template import ANY, ONE

_Key = tuple[str, str]
_WILD = (ONE, ANY)


@dataclass(frozen=True)
class Match:
    """A binding, and what its path captured by field path."""

    binding: Binding
    captured: dict[str, str]


class Router:
    """Finds bindings by HTTP method and path.

    Those that begin with two literals, such as `/v1/runs`, are looked up by them, so that a request is compared with
    few templates however many there are.
    """

    def __init__(self, bindings: Iterable[Binding]) -> None:
        latest_first = list(reversed(list(bindings)))
        self.methods = sorted({binding.http_method for binding in latest_first})
        self._general: dict[str, list[Binding]] = defaultdict(list)
        self._keyed: dict[tuple[str, _Key], list[Binding]] = {}
        keys = {(binding.http_method, _key_of(binding.template.segments)) for binding in latest_first}
        for binding in latest_first:
            if _key_of(binding.template.segments) is None:
                self._general[binding.http_method].append(binding)
        for method, key in keys:
            if key is not None:
                self._keyed[method, key] = [
                    binding
                    for binding in latest_first
                    if binding.http_method == method and _key_of(binding.template.segments) in (None, key)
                ]

    def find(self, http_method: str, components: Sequence[str]) -> Match | None:
        """The binding for a method and the components of a path (what is between its slashes)."""
        candidates = None
        if len(components) > 1:
            candidates = self._keyed.get((http_method, (components[0], _head(components[1]))))
        if candidates is None:
            candidates = self._general.get(http_method, [])
        for binding in candidates:
            captured = binding.template.match(components)
            if captured is not None:
                return Match(binding, captured)
        return None

    def methods_of(self, components: Sequence[str]) -> list[str]:
        """The HTTP methods with which the path can be called."""
        return [method for method in self.methods if self.find(method, components) is not None]


def _key_of(segments: Sequence[str]) -> _Key | None:
    if len(segments) < 2 or segments[0] in _WILD or segments[1] in _WILD:
        return None
    return segments[0], _head(segments[1])


def _head(component: str) -> str:
    """A component up to its first colon, whether or not a verb follows it."""
    return component.partition(":")[0]
