"""How much was touched: counts that a result gives by name, and the sizes of its own lists and texts.

A number counts by the name of its field, whatever the style ("rows_affected", "rowsAffected"). Thresholds are where a person
would want to have known before: they are far above what a step that edits a project does, and far below what cannot be repaired.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from services.approval.risk.model import Factor
from services.approval.risk.scoring import MEDIUM


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of amount: fields that give it, from how much on a person should look, and why from there."""

    id: str
    names: frozenset[str]
    threshold: int
    what: str
    reason: str


def _measure(id: str, threshold: int, what: str, reason: str, names: str) -> Measure:
    return Measure(f"volume.{id}", frozenset(names.split()), threshold, what, reason)


MEASURES = (
    _measure(
        "files",
        100,
        "files touched",
        "a change that a reviewer still reads touches fewer",
        "fileschanged filesmodified filestouched filescreated fileswritten filescopied filesmoved fileswrite changedfiles modifiedfiles numfiles filecount",
    ),
    _measure(
        "deleted",
        100,
        "things deleted",
        "as many as one folder or page holds: more was chosen by a pattern, not by hand",
        "deleted removed dropped deletedcount deletecount removedcount numdeleted rowsdeleted recordsdeleted deletedrows deletedrecords filesdeleted deletedfiles "
        "filesremoved objectsdeleted deletedobjects itemsdeleted usersdeleted documentsdeleted purged truncated",
    ),
    _measure(
        "rows",
        1_000,
        "rows changed",
        "more than one form or page of a program changes; a missing condition changes them all",
        "rowsaffected affectedrows affected rowsupdated updatedrows rowsinserted insertedrows rowschanged rowswritten recordsupdated recordsaffected "
        "recordswritten modifiedcount updatedcount insertedcount matchedcount upsertedcount nmodified documentsupdated changes numrows",
    ),
    _measure(
        "read",
        10_000,
        "rows read",
        "a report sums up; who takes out this many takes out the table",
        "rowcount rowsreturned rowsread rowsexported recordsexported exportedrows recordcount recordsread totalrows rowsfetched documentsreturned",
    ),
    _measure(
        "bytes",
        100_000_000,
        "bytes written",
        "more than source and documents of most projects together: it is data, or it fills a disk",
        "byteswritten writtenbytes bytescopied bytesdownloaded downloadedbytes bytesdeleted bytesfreed totalbytes sizebytes diskusage",
    ),
    _measure(
        "sent",
        10_000_000,
        "bytes sent",
        "texts and requests are smaller: what is larger is files that leave",
        "bytessent sentbytes bytestransferred transferredbytes bytesuploaded uploadedbytes bytesout egressbytes",
    ),
    _measure(
        "messages",
        50,
        "messages sent",
        "more people than a team: whoever gets a message cannot be told to forget it",
        "emailssent messagessent mailssent sentemails sentmessages notificationssent recipients recipientcount smssent invitessent delivered",
    ),
)
_BY_NAME = {name: measure for measure in MEASURES for name in measure.names}
_FILES, _READ = MEASURES[0], MEASURES[3]
ROW_LISTS = frozenset("rows records results items users customers data documents entries hits".split())
"""Lists of these names hold rows, where they hold objects."""
MAX_DIGITS = 18  # of a number that is given as text; a longer one is an identifier


@dataclass(slots=True)
class Volume:
    """What one object says was touched. Amounts of one kind are summed, for a result may list them part by part."""

    amounts: dict[str, float] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    def number(self, name: str, text: str) -> None:
        """A number by the name of its field, in lower case without separators; what is no amount is passed over."""
        measure = _BY_NAME.get(name)
        if measure is None or len(text) > MAX_DIGITS:
            return
        try:
            amount = float(text.replace(",", "").replace("_", ""))
        except ValueError:
            return
        if 0 < amount < float("inf"):
            self.amounts[measure.id] = self.amounts.get(measure.id, 0) + amount

    def rows(self, name: str, size: int) -> None:
        """A list of objects by its name and size; under a name that tells of an effect, it is an amount of that."""
        if measure := _BY_NAME.get(name) or (_READ if name in ROW_LISTS else None):
            self.amounts[measure.id] = self.amounts.get(measure.id, 0) + size

    def factors(self) -> Iterator[Factor]:
        """One factor for each kind of which there is more than its threshold."""
        self.amounts[_FILES.id] = max(self.amounts.get(_FILES.id, 0), len(self.files))
        for measure in MEASURES:
            if (amount := self.amounts.get(measure.id, 0)) > measure.threshold:
                message = f"{amount:.0f} {measure.what}; {measure.threshold} is the most that passes unseen."
                yield Factor(measure.id, "volume", message, MEDIUM, safer_alternative="Do it in parts, the first one small.")
