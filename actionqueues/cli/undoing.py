"""``undo``: what had committed is taken back, or what that would do is shown.

Stands on the journal that is named.  Used by the parser.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from .deciding import told
from .naming import import_all, journal_of
from .printing import log_nothing, one_line, print_json, say
from .status import LEFT, OK, WRONG

__all__ = ["undo"]


def undo(options: argparse.Namespace) -> int:
    """Undo a transaction that has committed, and print what has become of it."""
    log_nothing(options)
    if not import_all(options.modules):
        return WRONG  # before anything is done: there may be more to undo with them
    journal = journal_of(options)
    plan = journal.undo_plan(options.id, chdir=options.chdir)
    refused = not (plan.complete or options.partly or options.dry_run)
    if options.dry_run or refused:
        if options.json:
            print_json(plan.as_dict())
        else:
            for line in str(plan).splitlines():
                say(line)
        if refused:
            what = f"nothing was undone, since {len(plan.problems)} of these cannot be; --partly undoes the rest"
            print(f"actionqueues: {what}", file=sys.stderr)  # noqa: T201 - a command
            return WRONG
        return OK if plan.complete else LEFT
    wanted = {"partly": options.partly, "by": options.by, "reason": options.reason, "chdir": options.chdir}
    if plan.needs_loop:
        done = asyncio.run(journal.undo_async(options.id, **wanted))
    else:
        done = journal.undo(options.id, **wanted)
    if options.json:
        print_json(told(done))
    else:
        say(one_line(str(done)))
    return OK if done.clean else LEFT
