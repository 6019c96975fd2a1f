"""Keeping what is worth keeping of an output that may be endless: its beginning and its end."""

import json

# Half of what is kept is the beginning, where causes are, half the end, where outcomes are.
DEFAULT_LIMIT = 64 * 1024


class CappedOutput:
    """Collects bytes and keeps the first and the last of them; memory stays within the limit.

    Args:
        limit: bytes to keep in all.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._head_limit = limit // 2
        self._tail_limit = limit - self._head_limit
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def feed(self, data: bytes) -> None:
        """Take more output."""
        self.total += len(data)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data
            if len(self._tail) > self._tail_limit:
                del self._tail[: len(self._tail) - self._tail_limit]

    @property
    def truncated(self) -> bool:
        """Whether something in the middle was left out."""
        return self.total > len(self._head) + len(self._tail)

    def text(self) -> str:
        """Return the output as text, with a mark where bytes were left out; bytes that are not UTF-8 become U+FFFD."""
        if not self.truncated:
            return bytes(self._head + self._tail).decode("utf-8", "replace")
        missing = self.total - len(self._head) - len(self._tail)
        head, tail = self._head.decode("utf-8", "replace"), self._tail.decode("utf-8", "replace")
        return f"{head}\n[... {missing} bytes left out ...]\n{tail}"


def fit(text: str, limit: int) -> str:
    """Return text whose JSON form is at most limit bytes, the middle left out and marked if need be."""
    room = limit
    while _json_size(text) > limit:
        room = room * 3 // 4
        capped = CappedOutput(room)
        capped.feed(text.encode("utf-8", "replace"))
        shortened = capped.text()
        if _json_size(shortened) <= limit or room < 64:
            return shortened
    return text


def _json_size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))
