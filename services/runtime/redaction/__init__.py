"""Finds secrets and personal data in text, and masks them in whatever is stored, shown, logged or sent.

Rules for secrets are gitleaks' (`gitleaks.py`) and our own (`literals.py`); personal data is in `personal.py`. Plain text costs
some microseconds, and a rule is compiled when it is first needed. Pure: nothing here raises, on any text, and the work is
linear in it. What cannot be found here: a secret that is encoded, split over several fields, or looks like a word.
"""

from __future__ import annotations

from services.runtime.redaction.mask import MASK, masked_ranges, redact, redact_all, redact_named, redact_value
from services.runtime.redaction.personal import MANY_PEOPLE, People
from services.runtime.redaction.search import Secret, find

__all__ = [
    "MANY_PEOPLE",
    "MASK",
    "People",
    "Secret",
    "find",
    "masked_ranges",
    "redact",
    "redact_all",
    "redact_named",
    "redact_value",
]
