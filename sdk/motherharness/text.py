"""Text from elsewhere, made harmless for terminals."""

import re

# Controls other than tab and newline drive terminals; direction marks reorder what is read; and what has no width or no
# ink (soft hyphen, zero-width space, fillers, tags) makes two texts that differ look the same.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\u00ad\u115f\u1160\u180e\u200b\u2060-\u2065\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def safe(text: object) -> str:
    """Return text with every character that could drive a terminal, or is not seen, made visible instead."""
    return UNSAFE.sub(lambda match: _escaped(ord(match[0])), str(text))


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def line(text: object) -> str:
    """Return safe text on one line."""
    return safe(text).replace("\n", "\\n").replace("\t", " ")
