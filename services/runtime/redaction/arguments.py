"""What passwords that stand on a command line are found by: patterns of what is before them, and of themselves."""

from __future__ import annotations

from services.runtime.redaction.values import is_reference

ON = r"[^\n;|&]{0,300}?"
"""Further on in the same command."""
GAP = r"[\s\x00]"
"""Between arguments, also of a list of them."""
QUOTE = r"(?:[\"']\s{0,3}\+\s{0,3}[\"']|[\"'])?"
"""Before what is given, if it is quoted, or code puts the command together."""
VALUE = QUOTE + r"([^\s\x00\"'`;|&<>(){}$-][^\s\x00\"'`;|&<>(){}]{2,200})"
"""What is given; not a variable, and no option."""


def is_password(value: str) -> bool:
    """Whether what is given is a password, and not a name of where one is."""
    return not is_reference(value)
