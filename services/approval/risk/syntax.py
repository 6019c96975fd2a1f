"""Parses untrusted text with tree-sitter grammars: within bounded work, and without what could crash their scanners.

A grammar's scanner is C code that sees code points. tree-sitter-bash passes them to `isdigit`, which reads outside its table
for code points over 255: one brace and one letter of a rare script ended the process. So a scanner never gets any of them: it
sees a copy of the source in which each byte that is not ASCII is replaced by one stand-in, so that all offsets stay the same.
"""

from __future__ import annotations

from tree_sitter import Language, Parser, Point, Tree

# The parser reads what is well-formed in linear time, but recovers from errors in time that may grow with the square of the
# length. It asks for its text chunk by chunk, again and again when it goes back, and reports every hundred or so operations:
# both are counted, not timed, so that the same text always gets the same answer. An operation on broken text costs up to fifty
# times one on whole text, so there is little to spare: of 1,400 files of real code none needed more than a report for every 45
# bytes (minified JavaScript; shell 130, Go 50, PHP 90), nor read its chunks more than five times.
_UNCOUNTED = 2048  # bytes that are parsed without counting: the worst text found of that length takes 5 ms
_CHUNK = 1024
_REPORTS = 200
_READS, _READS_A_CHUNK = 100, 6


class TooComplex(Exception):
    """The text needs more work to parse than its length allows: it is broken, or made to be slow."""


class Grammar:
    """One language.

    `stand_in`: the ASCII character that a scanner sees for each byte of a letter that is not ASCII. `bytes_a_report`: how much
    text there must be for each report.
    """

    def __init__(self, language: object, stand_in: str, bytes_a_report: int = 36) -> None:
        self._parser = Parser(Language(language))
        self._bytes_a_report = bytes_a_report
        self._shadow = bytes(range(128)) + stand_in.encode() * 128

    def parse(self, source: bytes) -> Tree:
        """The tree of UTF-8 text; its offsets are those of `source`. Raises TooComplex."""
        shadow = source if source.isascii() else source.translate(self._shadow)
        if len(shadow) <= _UNCOUNTED:
            return self._parser.parse(shadow)
        reports, reads = _REPORTS + len(shadow) // self._bytes_a_report, _READS + _READS_A_CHUNK * (len(shadow) // _CHUNK)

        def chunk(offset: int, _: Point) -> bytes:
            nonlocal reads
            reads -= 1
            return shadow[offset : offset + _CHUNK]

        def stop(_offset: int, _has_error: bool) -> bool:
            nonlocal reports
            reports -= 1
            return reports < 0 or reads < 0

        try:
            tree: Tree | None = self._parser.parse(chunk, progress_callback=stop)
        except ValueError:  # what the binding raises when parsing was stopped
            tree = None
        if tree is None:
            self._parser.reset()
            raise TooComplex
        return tree
