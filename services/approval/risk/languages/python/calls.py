"""One call in a program, as what judges it sees it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from services.approval.risk.languages.python.scopes import Loop
from services.approval.risk.languages.python.values import NONE, NOTHING, Value


@dataclass(frozen=True, slots=True)
class Call:
    """`name`: the dotted name of what is called ("?.attr" for a method of something that is not known), `plain`: without
    calls and elements inside. `receiver`: what a method is called on. `loops`: the loops around it, the innermost last."""

    name: str
    plain: str
    receiver: Value
    args: list[Value]
    keywords: dict[str, Value]
    node: ast.AST
    loops: tuple[Loop, ...] = ()

    @property
    def attr(self) -> str:
        return self.plain.rpartition(".")[2]

    @property
    def taints(self) -> frozenset[str]:
        """Where the arguments came from."""
        return NONE.union(*(a.taints for a in self.args), *(v.taints for v in self.keywords.values()))

    def argument(self, index: int, *keys: str) -> Value:
        """The argument at a position, or under one of these keywords; NOTHING when it is not given."""
        for key in keys:
            if key in self.keywords:
                return self.keywords[key]
        return self.args[index] if 0 <= index < len(self.args) else NOTHING

    def all(self) -> list[Value]:
        return [*self.args, *self.keywords.values()]

    @property
    def shown(self) -> str:
        """For people: the name and the line."""
        name = self.plain.removeprefix("?.")
        return f"{name} (line {getattr(self.node, 'lineno', 0)})"
