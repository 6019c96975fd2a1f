"""How much a command writes: sizes as dd, head and their like read them."""

from __future__ import annotations

from collections.abc import Sequence

from services.approval.risk.shell.invocation import Invocation

LARGE = 4_000_000_000  # bytes: more than a swap file or a disc image in a test has; what takes a good part of a disk
_BLOCK = 512  # bytes of dd's block when nothing is said
_UNITS = {"c": 1, "w": 2, "b": 512, **{letter: 1024 ** (power + 1) for power, letter in enumerate("kmgtpezy")}}
_DIGITS = 30  # of a number; a longer one is as good as without end
_LINE = 2  # bytes of a short line


def size(text: str) -> int | None:
    """The bytes that a size such as 10G, 4k or 2x512 names; None when it is none."""
    total = 1
    for part in text.lower().split("x"):
        digits = part.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = part[len(digits) :]
        if not digits.isdecimal() or not digits.isascii() or (unit and unit[0] not in _UNITS):
            return None
        if len(digits) > _DIGITS:
            return LARGE
        total *= int(digits) * (_UNITS[unit[0]] if unit else 1)
    return total


def written(words: Sequence[str]) -> int:
    """The bytes that a command writes which is given by its words, as far as they say so: `fallocate -l 1G f`, `dd bs=1M count=1000`."""
    if words[:1] == ["dd"]:
        given = {key: size(value) or 0 for key, _, value in (word.partition("=") for word in words[1:])}
        return given.get("count", 0) * (given.get("bs") or given.get("obs") or given.get("ibs") or _BLOCK)
    if words[:1] not in (["fallocate"], ["mkfile"]) and not (words[:1] == ["head"] and any(word.startswith(("-c", "--bytes")) for word in words)):
        return 0
    named = (word.removeprefix("-l").removeprefix("-c").rpartition("=")[2] for word in words[1:])
    return max((size(word) or 0 for word in named), default=0)


def is_large(call: Invocation) -> bool:
    """Whether what dd or head lets through of an endless source is a good part of a disk; for others of their like, no."""
    if call.name == "dd":
        given = dict(arg.partition("=")[::2] for arg in call.args)
        if "count" not in given:
            return True
        blocks, block = size(given["count"]), size(given.get("bs") or given.get("obs") or given.get("ibs") or str(_BLOCK))
        if blocks is None or block is None:
            return False
        return (blocks if "count_bytes" in given.get("iflag", "") else blocks * block) >= LARGE
    if call.name == "head":
        counted = [size(value) for value in call.values("-c", "--bytes")]
        lines = [size(value) for value in call.values("-n", "--lines")]
        return any(each is not None and each >= LARGE for each in counted) or any(each is not None and each * _LINE >= LARGE for each in lines)
    return False
