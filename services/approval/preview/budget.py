"""How much a preview may hold. What is cut is masked again: the beginning of a text may hold what its whole did not."""

from __future__ import annotations

from services.runtime.redaction import redact

MAX_BYTES = 256 * 1024
"""All texts of a preview. An approver reads one screen, and a page of approvals has to fit into a message."""


class Budget:
    """Texts in the order of their importance, until there is no more room. `truncated` says whether any was cut."""

    def __init__(self, size: int = MAX_BYTES) -> None:
        self._left = size
        self.truncated = False

    def take(self, text: str, limit: int) -> tuple[str, bool]:
        """As much of a masked text as `limit` characters and the room that is left allow, and whether it was cut."""
        kept = text[:limit]
        if len(kept) > self._left or len(kept.encode()) > self._left:
            kept = kept.encode()[: self._left].decode("utf-8", "ignore")
        cut = len(kept) < len(text)
        if cut:
            self.truncated = True
            kept = redact(f"{kept}… ({len(text) - len(kept)} more characters)")
        self._left = max(0, self._left - len(kept.encode()))
        return kept, cut

    def line(self, text: str, limit: int) -> str:
        """As `take`, for a text that says itself that it was cut."""
        return self.take(text, limit)[0]
