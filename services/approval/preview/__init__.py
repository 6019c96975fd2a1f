"""What an approver needs on one screen: what would run, what was found in it, what is lost, what is safer.

Everything in a preview is masked, and the whole of it bounded: what is cut says so, and the actions have all of it.
"""

from __future__ import annotations

from services.approval.preview.build import Shown, mask, preview_of
from services.approval.preview.later import add_preview, can_wait

__all__ = ["Shown", "add_preview", "can_wait", "mask", "preview_of"]
