"""What the command exits with.

Stands on nothing.  Used by the command.
"""

from typing import Final

__all__ = ["INTERRUPTED", "LEFT", "OK", "WRONG"]

OK: Final = 0
LEFT: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130
