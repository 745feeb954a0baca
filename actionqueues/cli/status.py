"""What the command exits with.

Stands on nothing.  Used by the command.
"""

import os
import signal
from typing import Final

__all__ = ["INTERRUPTED", "LEFT", "OK", "WRONG", "interrupted_by"]

OK: Final = 0
LEFT: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130


def interrupted_by(number: int) -> int:
    """What to exit with after this signal; of any but Ctrl-C the process dies, as whoever waits for it expects."""
    if number != signal.SIGINT:  # pragma: no cover - in processes of their own, which end by it
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return INTERRUPTED
