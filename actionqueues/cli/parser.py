"""What the command understands, and its help.

Stands on the commands.  Used by `main`.
"""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any, NoReturn

from .deciding import prune, recover, resolve
from .operating import abandon, check, retry
from .recovering import keep_recovering
from .serving import serve
from .showing import list_all, show
from .status import WRONG
from .undoing import undo
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
  actionqueues recover actions.db --import shop.jobs --watch 30
                                               the same every 30 seconds
  actionqueues check actions.db --older-than 10m
                                               is anything left for so long?
  actionqueues retry actions.db 17 --import shop.jobs
                                               the reason is gone: try again
  actionqueues undo actions.db 16 --import shop.jobs
                                               take back what has committed
  actionqueues resolve actions.db 17 3 --undone
                                               step 3 was undone by hand
  actionqueues abandon actions.db 17 --reason "the account is closed"
                                               what is left of it may stay
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
  undone later  it had committed, and undo has taken it back
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

With --watch 30 it goes on until Ctrl-C or SIGTERM, and looks again 30 seconds
after each time. It prints a line for what it has recovered, or could not, and
none for what it has said before. A file that is locked or damaged, or gone,
does not end it, nor does a transaction that cannot be undone. What is being
undone when it is to end is finished first.
"""

_CHECK = """\
Say whether anything is left: stuck, begun by a process that has died, or with
durable hooks that nobody calls. For each, a line with its number and name, its
state, how long ago it began, and why. What a live process is working on is
healthy, and so is what began less than --older-than ago, since a recovery may
be about to undo it. If all is well, nothing is printed, as cron likes it.

  actionqueues check actions.db --older-than 1h || page-somebody

Exit status: 0 healthy; 1 something is left; 2 there is no journal there, or it
cannot be read. Nothing is written, so that who may read the file may check it.
"""

_RETRY = """\
Recover one transaction, once the reason why it is stuck is gone, with the
modules that define its actions, as recover does; its exit status is the same.
What has ended, or a live process is working on, is refused; so is what has
only conflicts left, which no recovery tries again: resolve it, or abandon it.
"""

_ABANDON = """\
Record the decision that all that is left of a stuck transaction stays as it
is. It has ended then, and nothing more is tried. It stays in the file with the
reason, as long as others that have ended: list shows it, and prune forgets it.

  actionqueues abandon actions.db 17 --reason "ada: the account is closed"
"""

_UNDO = """\
Undo a transaction that has committed, as recover would, with the arguments,
results, saved data and keys that were recorded. What cannot be undone, such as
an irreversible step, or a commit hook that was called, is listed first; then
nothing is done without --partly.

  actionqueues undo actions.db 16 --import shop.jobs --dry-run
  actionqueues undo actions.db 16 --import shop.jobs --reason "wrong version"

If it is killed or interrupted, recover goes on with it. To have it again, call
again what made it.
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
    made = command("check", check, "say whether anything is left, and how long", _CHECK)
    made.add_argument(
        "--older-than",
        type=_age,
        default=timedelta(minutes=10),
        metavar="AGE",
        help="only what began so long ago: 30d, 12h, 10m, 5s; 10m without it",
    )
    made = command("recover", _recover, "undo what dead processes have left", _RECOVER)
    made.add_argument("ids", type=_number, nargs="*", metavar="ID", help="only these transactions")
    made.add_argument("--watch", type=_seconds, metavar="SECONDS", help="go on, and look again after so many seconds")
    retried = command("retry", retry, "recover one transaction again", _RETRY)
    retried.add_argument("id", type=_number, metavar="ID", help="its number, from `list` or `check`")
    undone = command("undo", undo, "undo a transaction that has committed", _UNDO)
    undone.add_argument("id", type=_number, metavar="ID", help="its number, from `list`")
    undone.add_argument("--dry-run", action="store_true", help="print what would be undone, in that order; do nothing")
    undone.add_argument("--partly", action="store_true", help="undo what can be, and leave what cannot")
    undone.add_argument("--reason", metavar="TEXT", help="why; handlers are told, and the journal keeps it")
    undone.add_argument("--by", metavar="NAME", help="who wants it; the name of the user without it")
    for each in (made, retried, undone):
        each.add_argument(
            "--import", dest="modules", action="append", default=[], metavar="MODULE", help="import it first"
        )
        each.add_argument("--chdir", action="store_true", help="undo each step in the directory that it was begun in")
        each.add_argument("--traceback", action="store_true", help="log the traceback of what an undo has raised")
    made = command("resolve", resolve, "record what a person has decided about a step", _RESOLVE)
    made.add_argument("id", type=_number, metavar="ID", help="the number of the transaction")
    made.add_argument("step", type=_number, metavar="STEP", help="the number of the step, or hook, from `show`")
    decision = made.add_mutually_exclusive_group(required=True)
    decision.add_argument("--undone", action="store_true", help="it was undone by hand, or never happened")
    decision.add_argument("--not-undone", action="store_true", help="it stays as it is; nothing more is done about it")
    decision.add_argument("--hook", action="store_true", help="STEP is a durable hook; it need not be called any more")
    made = command("abandon", abandon, "record that what is left of a transaction stays as it is", _ABANDON)
    made.add_argument("id", type=_number, metavar="ID", help="its number, from `list` or `check`")
    made.add_argument("--reason", type=_reason, required=True, metavar="TEXT", help="why, and who says so; it is kept")
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


_STATES = ("open", "rolling back", "committed", "rolled back", "undone later", "stuck")


def _recover(options: argparse.Namespace) -> int:
    return recover(options) if options.watch is None else keep_recovering(options)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e7:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds to wait; write one above 0, such as 30")
    return seconds


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; say why, since somebody will ask")
    return text.strip()


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
