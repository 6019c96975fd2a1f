"""Source code by language: what a program would call, read without running it."""

from services.approval.risk.languages.source import assess, mentions

__all__ = ["assess", "mentions"]
