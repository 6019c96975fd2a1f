"""Reading Redis' RDB format as a stream, without a server."""

from services.backup.rdb.copy import RdbCopy
from services.backup.rdb.format import RdbError, RdbUnsupported, library_name, type_name
from services.backup.rdb.payload import dump_payload
from services.backup.rdb.records import Entry, RecordTally, record_entries
from services.backup.rdb.sorter import BUFFER_BYTES, FRAME_BYTES, Batch, BufferPool, RdbSorter
from services.backup.rdb.writer import RdbWriter

__all__ = [
    "BUFFER_BYTES",
    "FRAME_BYTES",
    "Batch",
    "BufferPool",
    "Entry",
    "RdbCopy",
    "RdbError",
    "RdbSorter",
    "RdbUnsupported",
    "RdbWriter",
    "RecordTally",
    "dump_payload",
    "library_name",
    "record_entries",
    "type_name",
]
