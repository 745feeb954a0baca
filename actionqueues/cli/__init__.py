"""The command ``actionqueues``: look into a journal, recover what dead processes have left, decide, and forget.

Stands on the parser, which knows the commands, and on the errors.  Used by people, and by what watches over programs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from actionqueues.errors import ActionQueuesError

from .parser import new_parser
from .printing import one_line
from .status import INTERRUPTED, OK, WRONG

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    if sys.stdout is None:  # whoever has started this has closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    options = new_parser().parse_args(arguments)
    try:
        sys.path.insert(0, os.getcwd())
        result: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (ActionQueuesError, LookupError, ImportError, OSError, OverflowError, TypeError, ValueError) as error:
        text = error.args[0] if isinstance(error, LookupError) and error.args else error
        print(f"actionqueues: {one_line(str(text))}", file=sys.stderr)  # noqa: T201 - a command
        return WRONG
    except (KeyboardInterrupt, SystemExit) as end:  # a handler's, after which the status would be that of success
        what = "interrupted" if isinstance(end, KeyboardInterrupt) else f"ended by what it called, with {end!r}"
        print(f"actionqueues: {what}; what is not done yet is left to the next time", file=sys.stderr)  # noqa: T201 - likewise
        return INTERRUPTED if isinstance(end, KeyboardInterrupt) else WRONG
    return result
