"""The command ``actionqueues``: look into a journal, recover what dead processes have left, decide, and forget.

Stands on `Journal`, which it imports once it needs one, and on the errors.  Used by people, and by what watches over
programs.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from actionqueues.errors import ActionQueuesError

from .printing import one_line, print_json, print_table, say

if TYPE_CHECKING:
    from actionqueues.journal import Journal
    from actionqueues.journal.inspecting import Entry

__all__ = ["main"]

_OK, _LEFT, _WRONG, _INTERRUPTED = 0, 1, 2, 130

_ABOUT = """\
A journal is the file that transaction(..., journal="actions.db") records its
steps in. If a process is killed, what it has started stays in the file until
somebody recovers it:

  actionqueues list actions.db                 what is in it
  actionqueues list actions.db --state stuck   what a person has to look at
  actionqueues show actions.db 17              its steps, and why it is stuck
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


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_WRONG, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        sys.path.insert(0, os.getcwd())
        result: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _OK
    except (ActionQueuesError, LookupError, ImportError, OSError, OverflowError, TypeError, ValueError) as error:
        text = error.args[0] if isinstance(error, LookupError) and error.args else error
        print(f"actionqueues: {one_line(str(text))}", file=sys.stderr)  # noqa: T201 - a command
        return _WRONG
    except (KeyboardInterrupt, SystemExit) as end:  # a handler's, after which the status would be that of success
        what = "interrupted" if isinstance(end, KeyboardInterrupt) else f"ended by what it called, with {end!r}"
        print(f"actionqueues: {what}; what is not done yet is left to the next time", file=sys.stderr)  # noqa: T201 - likewise
        return _INTERRUPTED if isinstance(end, KeyboardInterrupt) else _WRONG
    return result


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="actionqueues", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name: str, run: Any, text: str, about: str = "") -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=text, description=about or text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        made.add_argument("file", metavar="FILE", help="the journal, or MODULE:NAME of one")
        made.add_argument("--json", action="store_true", help="print JSON instead of a table")
        made.set_defaults(run=run)
        return made

    made = command("list", _list, "list the transactions", _LIST)
    states = ", ".join(map(repr, _STATES))
    made.add_argument(
        "--state", action="append", default=[], choices=_STATES, metavar="STATE",
        help=f"only those that are {states}; may be repeated",
    )  # fmt: skip
    made = command("show", _show, "show one transaction, its steps and hooks", _SHOW)
    made.add_argument("id", type=_number, metavar="ID", help="its number, from `list`")
    made = command("recover", _recover, "undo what dead processes have left", _RECOVER)
    made.add_argument("ids", type=_number, nargs="*", metavar="ID", help="only these transactions")
    made.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE", help="import it first")
    made.add_argument("--chdir", action="store_true", help="undo each step in the directory that it was begun in")
    made.add_argument("--traceback", action="store_true", help="log the traceback of what an undo has raised")
    made = command("resolve", _resolve, "record what a person has decided about a step", _RESOLVE)
    made.add_argument("id", type=_number, metavar="ID", help="the number of the transaction")
    made.add_argument("step", type=_number, metavar="STEP", help="the number of the step, or hook, from `show`")
    decision = made.add_mutually_exclusive_group(required=True)
    decision.add_argument("--undone", action="store_true", help="it was undone by hand, or never happened")
    decision.add_argument("--not-undone", action="store_true", help="it stays as it is; nothing more is done about it")
    decision.add_argument("--hook", action="store_true", help="STEP is a durable hook; it need not be called any more")
    made = command("prune", _prune, "delete transactions that have ended", _PRUNE)
    made.add_argument(
        "--older-than",
        type=_age,
        default=timedelta(0),
        metavar="AGE",
        help="those that ended so long ago: 30d, 12h, 10m, 5s; all without it",
    )
    return parser


_STATES = ("open", "rolling back", "committed", "rolled back", "stuck")


def _age(text: str) -> timedelta:
    units = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
    if text[-1:] not in units or not text[:-1].isdecimal() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; write 30d, 12h, 10m or 5s")
    return timedelta(**{units[text[-1]]: int(text[:-1])})


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:  # more than SQLite can count
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a transaction, step or hook")
    return int(text)


def _journal(options: argparse.Namespace) -> Journal:
    """The journal that was named; never a new one."""
    from actionqueues.journal import Journal  # here, so that `--help` needs no sqlite3

    module, _, name = options.file.partition(":")
    if name.isidentifier() and not os.path.exists(options.file):
        made = getattr(_import(module), name, None)
        if not isinstance(made, Journal):
            raise TypeError(f"{options.file} is no Journal")
        return made
    if not os.path.isfile(options.file):
        what = "a folder" if os.path.isdir(options.file) else "not there"
        raise FileNotFoundError(f"there is no journal {options.file!r}: it is {what}")
    if not os.path.getsize(options.file):
        raise ValueError(f"{options.file!r} is empty: nothing has been recorded in it yet, or it is something else")
    return Journal(options.file)


def _import(module: str) -> Any:
    """Import a module of the user's; whatever stops that is told in one line."""
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise ImportError(f"{module!r} cannot be imported: {type(error).__name__}: {error}") from error


def _import_all(modules: Sequence[str]) -> bool:
    """Import them, and tell of those that cannot be: what needs these is stuck, and the rest is not."""
    fine = True
    for module in modules:
        try:
            _import(module)
        except ImportError as error:
            fine = False
            print(f"actionqueues: {one_line(str(error))}", file=sys.stderr)  # noqa: T201 - a command
    return fine


def _list(options: argparse.Namespace) -> int:
    found = _journal(options).transactions(*options.state)
    if options.json:
        print_json([entry.as_dict() for entry in found])
    else:
        rows = [
            [
                str(each.id),
                "running" if each.live and each.state == "open" else each.state,
                each.started[:16],
                str(each.step_count),
                each.name,
                each.reason or each.error or _fate(each),
            ]
            for each in found
        ]
        head = ["ID", "STATE", "STARTED (UTC)", "STEPS", "NAME", "WHY"]
        print_table(head, rows, givers=2, spare=("STARTED (UTC)", "STEPS"))
        if any(_is_left(each) and each.state in ("open", "rolling back") for each in found):
            _advise("What dead processes left is undone by", f"recover {_named(options)}")
        stuck = [str(each.id) for each in found if _is_left(each) and each.state in ("stuck", "committed")]
        if stuck:
            which = stuck[0] if len(stuck) == 1 else "ID"
            _advise("Why something is stuck, and what to do, says", f"show {shlex.quote(options.file)} {which}")
    return _LEFT if any(_is_left(each) for each in found) else _OK


def _fate(entry: Entry) -> str:
    """What became of the process that works on it."""
    return "" if not _is_left(entry) else "its process has died" if entry.live is False else "its process may live"


def _is_left(entry: Entry) -> bool:
    """Whether there is something left to do, and no live process is known to be doing it."""
    return entry.ended is None and not entry.live


def _show(options: argparse.Namespace) -> int:
    entry = _journal(options).show(options.id)
    if options.json:
        print_json(entry.as_dict())
    else:
        running = ", a live process is working on it" if entry.live else ""
        say(f"transaction {entry.id} {one_line(entry.name)}: {entry.state}{running}")
        say(f"started {entry.started}, {f'ended {entry.ended}' if entry.ended else 'has not ended'}")
        for label, text in (("error", entry.error), ("reason", entry.reason)):
            if text:
                say(f"{label}: {one_line(text)}")
        rows = [[str(s.number), s.state, s.undo or "-", s.name, s.arguments or ""] for s in entry.steps]
        print_table(["STEP", "STATE", "UNDO", "NAME", "ARGUMENTS"], rows, givers=2)
        for step in entry.steps:
            why = step.reason or _error_of(step.error)
            if why:
                say(f"step {step.number}: {one_line(why)}")
        hooks = [[str(h.number), (h.ended or "to be called")[:19], h.name, h.arguments] for h in entry.hooks]
        if hooks:
            print_table(["HOOK", "CALLED", "NAME", "ARGUMENTS"], hooks, givers=2)
        for hook in entry.hooks:
            if hook.error:
                say(f"hook {hook.number}: {one_line(hook.error)}")
        if _is_left(entry):
            again = f"recover {_named(options, entry.id)}"
            decided = f"resolve {shlex.quote(options.file)} {entry.id}"
            if (entry.reason or "").startswith("damaged: "):
                _advise("Once that row is mended:", again)
            elif entry.state == "stuck":
                _advise("Once the reason is gone:", again)
                _advise("Undone by hand:", f"{decided} STEP --undone")
                _advise("To stay as it is:", f"{decided} STEP --not-undone")
            elif entry.state == "committed":
                _advise("To call its hooks, once the reason is gone:", again)
                _advise("Not to be called:", f"{decided} HOOK --hook")
            elif entry.live is None:  # pragma: no cover - for one who may only read, in another process
                _advise("Its process may live; nobody can tell from here. If it has died, this undoes it:", again)
            else:
                _advise("Its process has died. To undo it:", again)
    return _LEFT if _is_left(entry) else _OK


def _named(options: argparse.Namespace, number: int | None = None) -> str:
    """What follows `recover`: the journal, the number, and where the actions are, if the journal does not tell."""
    file = shlex.quote(options.file)
    which = "" if number is None else f" {number}"
    return f"{file}{which} --import MODULE" if os.path.exists(options.file) else f"{file}{which}"


def _advise(when: str, command: str) -> None:
    say(when)
    say(f"  actionqueues {command}")


def _error_of(recorded: str | None) -> str:
    """The text of an exception as a step has it."""
    try:
        return str(json.loads(recorded or "{}").get("text", ""))
    except (ValueError, AttributeError):  # somebody has written into the file
        return recorded or ""


def _recover(options: argparse.Namespace) -> int:
    if not options.traceback:
        logging.getLogger("actionqueues").addHandler(logging.NullHandler())  # the reasons are printed, and in the file
    all_imported = _import_all(options.modules)
    journal = _journal(options)
    named = [journal.show(each) for each in options.ids]  # before anything is done: all of them have to be there
    done = journal.recover(*options.ids, chdir=options.chdir)
    waiting = [each.id for each in done if each.state == "waiting"]
    if waiting:
        again = asyncio.run(journal.recover_async(*waiting, chdir=options.chdir))
        done = [*(each for each in done if each.state != "waiting"), *again]
    left = [entry for entry in named if all(entry.id != each.id for each in done)]
    if options.json:
        told = ("id", "name", "state", "reason", "repeated_by")
        rows = [{**{name: getattr(each, name) for name in told}, **_report(each)} for each in done]
        print_json(rows)
    else:
        for each in done:
            say(one_line(str(each)))
        for entry in left:
            why = "a live process is working on it" if entry.ended is None else "there is nothing to do"
            say(one_line(f"{entry.id} {entry.name}: {entry.state}, {why}"))
        say(f"{sum(each.clean for each in done)} recovered, {sum(not each.clean for each in done)} left to a person")
    nothing_is_left = all(each.clean and each.report.clean for each in done) and all(entry.ended for entry in left)
    if not all_imported:
        return _WRONG
    return _OK if nothing_is_left else _LEFT


def _report(recovered: Any) -> dict[str, Any]:
    return {key: value for key, value in recovered.report.as_dict().items() if key not in ("name", "state")}


def _resolve(options: argparse.Namespace) -> int:
    journal = _journal(options)
    if options.hook:
        entry = journal.resolve_hook(options.id, options.step)
    else:
        entry = journal.resolve(options.id, options.step, undone=options.undone)
    if options.json:
        print_json(entry.as_dict())
    else:
        say(f"transaction {entry.id} is {entry.state}" + (f": {one_line(entry.reason)}" if entry.reason else ""))
    return _LEFT if entry.ended is None else _OK


def _prune(options: argparse.Namespace) -> int:
    count = _journal(options).prune(options.older_than)
    if options.json:
        print_json({"deleted": count})
    else:
        say(f"{count} deleted")
    return _OK
