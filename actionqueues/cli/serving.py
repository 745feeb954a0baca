"""``serve``: a journal as a local page.

Stands on the journal that is named, and on the server, which it imports once it needs it.  Used by the parser.
"""

from __future__ import annotations

import argparse
import logging
from contextlib import suppress

from .naming import import_all, journal_of, let_go
from .printing import say
from .status import INTERRUPTED, WRONG

__all__ = ["serve"]


def serve(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, which is the way to end it."""
    try:
        from actionqueues.serve.running import Page  # here, since it is an extra
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed; pip install 'actionqueues[serve]'") from error
    if not import_all(options.modules):
        return WRONG
    logging.getLogger("actionqueues").addHandler(logging.NullHandler())  # the reasons are on the page, and in the file
    journal = journal_of(options)
    with (
        suppress(KeyboardInterrupt),
        let_go(journal),
        Page(journal, port=options.port, allow_actions=options.allow_actions) as page,
    ):
        how = "may be changed" if options.allow_actions else "read-only; with --allow-actions it may be changed"
        say(f"The journal is served until Ctrl-C ({how}) at")
        print(f"  {page.address}", flush=True)  # noqa: T201 - a command
        page.run()
    return INTERRUPTED
