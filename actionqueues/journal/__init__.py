"""The journal: a file that lets another process undo what a dead one has started.

Stands on the core, through the seam that it is attached to (`core/watch.py`).  Used by programs, and by the command.
"""

from .durable import current_hook_key as current_hook_key
from .errors import JournalCorrupt as JournalCorrupt
from .errors import JournalError as JournalError
from .errors import NotRecordable as NotRecordable
from .errors import NotRestorable as NotRestorable
from .every import RecoverEvery as RecoverEvery
from .journal import Journal as Journal
from .journal import set_default_journal as set_default_journal
from .journal import shared_journal as shared_journal
from .leftover import Recovered as Recovered
from .marking import durable as durable
from .planning import PlannedUndo as PlannedUndo
from .planning import UndoPlan as UndoPlan
from .requested import UndoRequested as UndoRequested
from .serializer import Serializer as Serializer
from .serializer import Unsupported as Unsupported
from .values import RecordedError as RecordedError

__all__ = [
    "Journal",
    "JournalCorrupt",
    "JournalError",
    "NotRecordable",
    "NotRestorable",
    "PlannedUndo",
    "RecordedError",
    "RecoverEvery",
    "Recovered",
    "Serializer",
    "UndoPlan",
    "UndoRequested",
    "Unsupported",
    "current_hook_key",
    "durable",
    "set_default_journal",
    "shared_journal",
]
