"""The journal: a file that lets another process undo what a dead one has started."""

from .errors import JournalCorrupt as JournalCorrupt
from .errors import JournalError as JournalError
from .errors import NotRecordable as NotRecordable
from .errors import NotRestorable as NotRestorable
from .serializer import Serializer as Serializer
from .serializer import Unsupported as Unsupported

__all__ = ["JournalCorrupt", "JournalError", "NotRecordable", "NotRestorable", "Serializer", "Unsupported"]
