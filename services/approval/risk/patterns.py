"""The way of this package to regular expressions: `services.runtime.patterns`, in RE2.

The standard library's `re` is not to be imported in this package (ruff refuses it).
"""

from __future__ import annotations

from services.runtime.patterns import Match, Pattern, PatternError, PatternSet, compile, escape

__all__ = ["Match", "Pattern", "PatternError", "PatternSet", "compile", "escape"]
