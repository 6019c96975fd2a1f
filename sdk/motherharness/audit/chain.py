"""The chain of one shard, verified line by line."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from motherharness.audit.lines import GENESIS, Keys, canonical, check_signature, checkpoint, is_record, parse


class AuditBroken(Exception):
    """The trail is not what it should be.

    Attributes:
        reason: stable, as in docs/audit.md: WRONG_HASH, TRUNCATED, ...
        shard: whose chain; None for the file as a whole.
        sequence: of the first record that cannot be believed.
        line: of the file, from 1; 0 for one that is missing at the end.
    """

    def __init__(
        self, reason: str, message: str, *, shard: int | None = None, sequence: int = 0, line: int = 0
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.shard = shard
        self.sequence = sequence
        self.line = line


@dataclass
class ShardReport:
    """What was found of one shard.

    Attributes:
        first: the sequence of the first record; what comes before was removed by the retention.
        last: the sequence of the last one; `first - 1` if there is none.
        records, checkpoints: how many there are, all verified.
        root_time_ms: when the retention removed what came before, Unix milliseconds; 0 if nothing was.
        known_met: how many of the known checkpoints the chain goes through.
        known_removed: how many of them are of what was removed.
    """

    shard: int
    first: int = 1
    last: int = 0
    records: int = 0
    checkpoints: int = 0
    root_time_ms: int = 0
    known_met: int = 0
    known_removed: int = 0


class Chain:
    """The chain of one shard, verified line by line."""

    def __init__(self, shard: int, keys: Keys, known: Mapping[int, str] | None = None) -> None:
        self.report = ShardReport(shard)
        self.hash = GENESIS
        self.signed = 0
        self.kids: set[str] = set()
        self._time_ms = 0
        self._keys = keys
        self._known = known or {}

    def take(self, line: bytes) -> None:
        """Verify the next line. Raises AuditBroken."""
        self.take_value(parse(line))

    def take_value(self, value: dict[str, Any]) -> None:
        """Verify the next line, as `parse` gives it."""
        if not value:
            self._fail("NOT_A_RECORD", self.report.last + 1, "the line is not canonical JSON of an object")
        if "checkpoint" in value:
            self._take_checkpoint(value)
        else:
            self._take_record(value)

    def finish(self) -> None:
        """There are no more lines. Raises AuditBroken if there should be."""
        report, last = self.report, max(self._known, default=0)
        report.known_removed = sum(sequence < report.first - 1 for sequence in self._known)
        if last > report.last:
            what = f"the chain ends at {report.last}; a checkpoint that was kept elsewhere is of {last}"
            self._fail("TRUNCATED", report.last + 1, what)

    def finish_signed(self) -> None:
        """As `finish`; and every record is to be covered by a checkpoint."""
        self.finish()
        if self.signed != self.report.last:
            self._fail("UNSIGNED", self.signed + 1, "no checkpoint covers the end of the chain")

    def _take_record(self, value: dict[str, Any]) -> None:
        report, following = self.report, self.report.last + 1
        if not is_record(value):
            self._fail("NOT_A_RECORD", following, "the line has not the members of a record")
        if value["shard"] != report.shard:
            self._fail("WRONG_SHARD", following, f"the record is of shard {value['shard']}")
        if value["sequence"] != following:
            self._fail("WRONG_SEQUENCE", following, f"{value['sequence']} comes after {report.last}")
        if value["prev"] != self.hash:
            self._fail("WRONG_PREV", following, "the record was made after another one than the one before it")
        said = value.pop("hash")
        if hashlib.sha256(canonical(value)).hexdigest() != said:
            self._fail("WRONG_HASH", following, "the record was changed: it has another hash")
        if value["time_ms"] < self._time_ms:
            self._fail("TIME_BACKWARDS", following, "the record is older than the one before it")
        self.hash, self._time_ms = said, value["time_ms"]
        report.last = following
        report.records += 1
        self._compare_known()

    def _take_checkpoint(self, value: dict[str, Any]) -> None:
        report = self.report
        said = checkpoint(value)
        if said is None:
            self._fail("NOT_A_RECORD", report.last + 1, "the line has not the members of a checkpoint")
        if said["shard"] != report.shard:
            self._fail("WRONG_SHARD", report.last, f"the checkpoint is of shard {said['shard']}")
        check_signature(value, "checkpoint", self._keys, lambda reason, what: self._fail(reason, report.last, what))
        if said["root"]:
            if report.records or report.checkpoints:
                self._fail("CHECKPOINT_MISPLACED", report.last, "a root is in the middle of the chain")
            report.first, report.last, report.root_time_ms = said["sequence"] + 1, said["sequence"], said["time_ms"]
            self.hash = said["hash"]
            self._compare_known()
        elif said["sequence"] != report.last or said["hash"] != self.hash:
            what = f"the checkpoint is of sequence {said['sequence']}, or of another record"
            self._fail("CHECKPOINT_MISMATCH", report.last, what)
        elif said["previous"] != self.signed or said["sequence"] <= self.signed:
            what = f"the checkpoint at {said['previous']} should come before it"
            self._fail("CHECKPOINT_MISSING", report.last, what)
        report.checkpoints += 1
        self.signed = said["sequence"]
        self.kids.add(said["kid"])

    def _compare_known(self) -> None:
        wanted = self._known.get(self.report.last)
        if wanted is None:
            return
        if wanted != self.hash:
            what = "a checkpoint that was kept elsewhere has another hash: it was rewritten"
            self._fail("REWRITTEN", self.report.last, what)
        self.report.known_met += 1

    def _fail(self, reason: str, sequence: int, message: str) -> NoReturn:
        raise AuditBroken(reason, message, shard=self.report.shard, sequence=sequence)
