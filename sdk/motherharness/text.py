"""Text from elsewhere, made harmless for terminals."""

import re

# Controls other than tab and newline drive terminals; direction marks reorder what is read.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def safe(text: object) -> str:
    """Return text with every character that could drive a terminal made visible instead."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", str(text))


def line(text: object) -> str:
    """Return safe text on one line."""
    return safe(text).replace("\n", "\\n").replace("\t", " ")
