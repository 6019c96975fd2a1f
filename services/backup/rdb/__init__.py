"""Reading Redis' RDB format as a stream, without a server: pure functions over bytes."""

from services.backup.rdb.format import RdbError, RdbUnsupported, type_name
from services.backup.rdb.payload import dump_payload
from services.backup.rdb.stream import Entry, RdbStream, record_entries

__all__ = ["Entry", "RdbError", "RdbStream", "RdbUnsupported", "dump_payload", "record_entries", "type_name"]
