"""What tests import to say what type the fixture `rollback_sweep` has.

Stands on `testing/plugin.py`, where all of it is.  Used by programs' tests, and by `testing/entry_point`, which pytest
loads and which imports this only once an option or a test wants it.
"""

from .testing.plugin import RollbackSweep, session_of

__all__ = ["RollbackSweep", "session_of"]
