"""What the command understands, and its help.

Stands on the commands.  Used by `main`.
"""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any, NoReturn

from .deciding import prune, recover, resolve
from .serving import serve
from .showing import list_all, show
from .status import WRONG
from .watching import watch

__all__ = ["new_parser"]

_ABOUT = """\
A journal is the file that transaction(..., journal="actions.db") records its
steps in. If a process is killed, what it has started stays in the file until
somebody recovers it:

  actionqueues list actions.db                 what is in it
  actionqueues list actions.db --state stuck   what a person has to look at
  actionqueues show actions.db 17              its steps, and why it is stuck
  actionqueues watch actions.db                the same, live
  actionqueues recover actions.db --import shop.jobs
                                               undo what dead processes left
  actionqueues resolve actions.db 17 3 --undone
                                               step 3 was undone by hand
  actionqueues prune actions.db --older-than 30d
                                               forget what has ended

Each command has a --help of its own. Instead of the file, MODULE:NAME names a
Journal that a module makes.

Exit status: 0 all is well, live work included; 1 something is left (it is
stuck, waits, its process has died, or was left because nothing undoes it); 2
it could not be done; 130 interrupted by Ctrl-C.
"""

_LIST = """\
List the transactions, the oldest first, with why they were rolled back or are
stuck. The states:

  running       a live process is working on it (to --state, it is open)
  open          its process has died: recover it
  rolling back  it is being undone, or its process died while it was
  committed     it is done; where durable hooks are due, it has not ended yet
  rolled back   it is undone
  stuck         recovery could not undo all of it: show says what to do
"""

_SHOW = """\
Show one transaction with its steps, in the order in which they were started,
and its durable hooks. What has become of their undoing:

  -            it was not tried; there was no need to, or not yet
  undone       its handler has been called
  undo failed  its handler has raised; recover tries it again
  conflict     somebody else had changed it since, so a person has to decide
  skipped      its handler needs a result, and there is none
  not undone   it has no handler, or a person has decided to leave it
  not landed   its probe has found that it never happened

  actionqueues show actions.db 17 --text             its timeline
  actionqueues show actions.db 17 --svg signup.svg   a picture of that
"""

_RESOLVE = """\
Record a decision about a step, or a durable hook, of a stuck transaction. The
step is not touched any more, by recovery either. Once nothing is left to be
decided, the transaction has ended.

  actionqueues resolve actions.db 17 3 --undone      somebody has undone it
  actionqueues resolve actions.db 17 3 --not-undone  it shall stay as it is
  actionqueues resolve actions.db 17 1 --hook        hook 1 need not be called
"""

_PRUNE = """\
Delete transactions that have ended. What is stuck, or still running, stays.
Programs do that by themselves: see Journal(keep=...).
"""

_RECOVER = """\
Undo, in reverse order, every step that a process has started that is dead now,
and call the durable hooks of those that had committed. What a live process is
working on is not touched, and running it again does nothing more. The actions
have to be defined, so name the modules that define them:

  actionqueues recover actions.db --import shop.jobs --import shop.mails

If the handlers need live objects such as connections, let a module make the
journal, and name that instead of the file: in shop/jobs.py,

  journal = Journal("actions.db", resources={"db": connect})

and then

  actionqueues recover shop.jobs:journal

Relative paths are not followed from another working directory than that of the
process that has died: what needs one is left as stuck. With --chdir each step
is undone in the directory that it was begun in.
"""

_WATCH = """\
Show the journal in the terminal while programs work in it: what is left to
somebody, what is running, and what has ended, the latest first. Enter opens
the timeline of the chosen transaction, ? lists the keys, q quits.

Where there is no terminal, print a line whenever a transaction was opened, has
ended or is stuck, until Ctrl-C; the times are UTC.
"""

_SERVE = """\
Show the journal as a page in the browser, to whoever opens the address that is
printed, on this machine only: what is stuck, what is running, and what has
ended; of each transaction a drawing, and all that is known. The page keeps
itself up to date. Ctrl-C ends it.

  actionqueues serve actions.db
  actionqueues serve actions.db --allow-actions --import shop.jobs

With --allow-actions it has buttons to recover, resolve and abandon. As with
recover, name the modules that define the actions, or a journal of a module.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message} (see {self.prog} --help)\n")


def new_parser() -> argparse.ArgumentParser:
    """What reads the arguments of the command; what it makes of them has the function to call as `run`."""
    parser = _Parser(prog="actionqueues", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name: str, run: Any, text: str, about: str = "", *, json: bool = True) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=text, description=about or text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        made.add_argument("file", metavar="FILE", help="the journal, or MODULE:NAME of one")
        if json:
            made.add_argument("--json", action="store_true", help="print JSON instead of a table")
        made.set_defaults(run=run)
        return made

    made = command("list", list_all, "list the transactions", _LIST)
    states = ", ".join(map(repr, _STATES))
    made.add_argument(
        "--state", action="append", default=[], choices=_STATES, metavar="STATE",
        help=f"only those that are {states}; may be repeated",
    )  # fmt: skip
    made = command("show", show, "show one transaction, its steps and hooks", _SHOW)
    made.add_argument("id", type=_number, metavar="ID", help="its number, from `list`")
    drawn = made.add_mutually_exclusive_group()
    drawn.add_argument("--text", action="store_true", help="draw its timeline, forward and back, instead")
    drawn.add_argument("--svg", metavar="OUT", help="draw it as a picture into this file (- for the output) instead")
    made = command("recover", recover, "undo what dead processes have left", _RECOVER)
    made.add_argument("ids", type=_number, nargs="*", metavar="ID", help="only these transactions")
    made.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE", help="import it first")
    made.add_argument("--chdir", action="store_true", help="undo each step in the directory that it was begun in")
    made.add_argument("--traceback", action="store_true", help="log the traceback of what an undo has raised")
    made = command("resolve", resolve, "record what a person has decided about a step", _RESOLVE)
    made.add_argument("id", type=_number, metavar="ID", help="the number of the transaction")
    made.add_argument("step", type=_number, metavar="STEP", help="the number of the step, or hook, from `show`")
    decision = made.add_mutually_exclusive_group(required=True)
    decision.add_argument("--undone", action="store_true", help="it was undone by hand, or never happened")
    decision.add_argument("--not-undone", action="store_true", help="it stays as it is; nothing more is done about it")
    decision.add_argument("--hook", action="store_true", help="STEP is a durable hook; it need not be called any more")
    made = command("prune", prune, "delete transactions that have ended", _PRUNE)
    made.add_argument(
        "--older-than",
        type=_age,
        default=timedelta(0),
        metavar="AGE",
        help="those that ended so long ago: 30d, 12h, 10m, 5s; all without it",
    )
    command("watch", watch, "show what is going on in it, live", _WATCH, json=False)
    made = command("serve", serve, "show it as a page in the browser", _SERVE, json=False)
    made.add_argument("--port", type=_port, default=0, metavar="N", help="where to listen; any free one without it")
    made.add_argument("--allow-actions", action="store_true", help="let the page recover, resolve and abandon")
    made.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE", help="import it first")
    return parser


_STATES = ("open", "rolling back", "committed", "rolled back", "stuck")


def _age(text: str) -> timedelta:
    units = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
    if text[-1:] not in units or not text[:-1].isdecimal() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; write 30d, 12h, 10m or 5s")
    return timedelta(**{units[text[-1]]: int(text[:-1])})


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number up to 65535")
    return int(text)


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:  # more than SQLite can count
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a transaction, step or hook")
    return int(text)
