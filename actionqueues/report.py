"""`Report`: what a transaction or a queue did, as data and as text.

Stands on steps, and on what is kept of them.  Used by the engine, which fills it in, and by users.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

from .core.entries import PastError, StepReport
from .core.kept import Cause, numbered, text_of, told, undos_of
from .core.states import QueueState, TransactionState
from .core.step import Step
from .core.text import listed, shown

__all__ = ["FORMAT", "HookCall", "HookFailure", "Report", "UndoFailure"]

#: The form of the plain data that `Report.as_dict` makes, and `Report.from_dict` reads.
FORMAT: Final = 1


class UndoFailure(NamedTuple):
    """An undo that was tried and did not succeed."""

    step: Step[Any]  #: the step that is still there; in a report that was read, its `StepReport`
    error: BaseException  #: what its rollback handler raised last; in a report that was read, a `PastError`


class HookCall(NamedTuple):
    """A commit hook that was called."""

    name: str  #: the name of the hook
    error: BaseException | None  #: what it raised, or None


class HookFailure(NamedTuple):
    """A commit hook that raised."""

    name: str  #: the name of the hook
    error: BaseException  #: what it raised


class Report:
    """What has happened in a transaction or queue so far; complete once it has ended.

    What happens in a savepoint is in its own report and in those of the transactions around it.

    It prints as a timeline, forward and back, of ASCII alone where the standard output has no other characters; rich
    prints it in colours.  `as_dict` makes plain data of it, and `from_dict` a report of that.

    Attributes:
        name: the transaction's name.
        state: how far it has come, or how it ended.
        kind: ``transaction``, ``savepoint``, ``queue`` for a classic one, or ``recovery``, of which
            undoing later is one.
        id: its number in the journal, or None.
        started, ended: when, in seconds since the epoch; None if nobody has watched, or it has not happened.
        origin: what it is called in a trace, the W3C ``traceparent`` of its span, or None; a listener may set it when
            the transaction is opened, and a journal keeps it, so that a recovery's report has that of the dead process.
        reason: why it is stuck, in a report that a journal has made; otherwise None.
        failures: undos that raised something, each with its step (`UndoFailure`); a person has to look at them.
        conflicts: undos that raised `RollbackConflict`, likewise.
        skipped: steps whose handler needs a result that they do not have, because they failed.
        not_undone: steps that a rollback had to leave, because they are irreversible or have no handler.
        abandoned: steps whose undo never started, because a third Ctrl-C cut the rollback short.
        dropped: queued steps that were never started.
        hooks: the commit hooks that were called (`HookCall`).
        hook_failures: those that raised (`HookFailure`).
        journal_failures: what has kept the journal from recording it; everything else went on from memory.
        hooks_not_run: the names of commit hooks that were not called, because a third Ctrl-C cut that short.
        never_awaited: the names of async actions that were called, and not awaited by the end of the block, so that
            nothing of them has run.  With a journal, in trio, and in the debug mode of asyncio; otherwise Python's own
            `RuntimeWarning` is all that tells of them, since counting costs each step.
    """

    __module__ = "actionqueues"

    # Lists that most reports never need: made when they are first asked for.
    failures = cached_property[list[UndoFailure]](lambda _self: [])
    conflicts = cached_property[list[UndoFailure]](lambda _self: [])
    skipped = cached_property[list[Step[Any]]](lambda _self: [])
    not_undone = cached_property[list[Step[Any]]](lambda _self: [])
    abandoned = cached_property[list[Step[Any]]](lambda _self: [])
    dropped = cached_property[list[Step[Any]]](lambda _self: [])
    hook_failures = cached_property[list[HookFailure]](lambda _self: [])
    hooks_not_run = cached_property[list[str]](lambda _self: [])
    never_awaited = cached_property[list[str]](lambda _self: [])
    journal_failures = cached_property[list[Exception]](lambda _self: [])

    hooks = cached_property[list[HookCall]](lambda _self: [])

    # What most reports never change is kept in the class.
    kind = "transaction"
    id: int | None = None
    started: float | None = None
    ended: float | None = None
    origin: str | None = None
    reason: str | None = None
    _included = False  # in that of the transaction around it
    _cut_short = ""  # by what, if steps were abandoned
    _kept: Any = None  # what a rollback has undone; see `kept.py`
    _masked: Callable[[str], str] = str
    _live: Callable[[], Any] = tuple  # keeps what there is before that
    _traced: list[StepReport] | None = None  # what somebody has watched
    _read_known = True  # False in a report that was read, for data without steps
    _later: Callable[[], list[StepReport]] | None = None  # reads from a journal what a recovery has done
    _cause: Cause | None = None  # what it was rolled back for, or its text

    def __init__(self, name: str, state: str) -> None:
        self.name = name
        self.state = state
        self._undone: list[Any] = []  # the definitions of the steps, which have names; these would refer to errors

    @property
    def steps(self) -> list[StepReport]:
        """The steps in order of start; in each, and in each savepoint, what it contains.

        A transaction that was rolled back has them all, and an open one those that have not been undone yet.  One that
        has committed has them if somebody has watched: ``transaction(trace=True)``, a journal, a listener, `watch`.
        """
        if self._traced is None and self._later is not None:
            self._traced = self._later()
        if self._traced is not None:
            return self._traced
        return numbered(self._told(over=self.state in _OVER))

    @property
    def steps_known(self) -> bool:
        """Whether `steps` has them: False for what has committed while nobody watched."""
        ends = (TransactionState.COMMITTED, TransactionState.RELEASED)
        return self._read_known and (self._traced is not None or self._later is not None or self.state not in ends)

    @property
    def _why(self) -> str:
        """Why steps were abandoned."""
        what = "a lack of room" if self._cut_short == "for lack of room" else "a third Ctrl-C"
        return f"{what} has cut the rollback short"

    def _told(self, *, over: bool) -> list[StepReport]:
        """What is told of what was kept."""
        left, failures = [*self.skipped, *self.not_undone], [*self.failures, *self.conflicts]
        kept = self._live() if self._kept is None else self._kept
        return told(kept, undos_of(left, failures, self.abandoned, self._why), over=over)

    def _text(self, error: BaseException) -> str:
        """The text of an error, without what is not to be shown."""
        return self._masked(text_of(error))

    def _as_step(self, state: str) -> StepReport:
        """What is told of it, a savepoint that is rolled back, in the transaction around it."""
        made = StepReport("savepoint", self.name, str(state))
        made.error, made.contains = self.error, self._told(over=True)
        for entry in made.contains:
            entry.parent = made
        return made

    @property
    def error(self) -> str | None:
        """What it was rolled back for, as text; None for nothing, or an explicit ``q.rollback()``."""
        self._cause = cause = None if self._cause is None else text_of(self._cause)
        return cause

    @property
    def undone(self) -> list[str]:
        """The names of the steps that have been undone, in the order in which that was done."""
        return [owner.name for owner in self._undone]

    @property
    def failed(self) -> bool:
        """Whether an undo that was due has not succeeded."""
        kept = vars(self)
        return bool(kept.get("failures") or kept.get("conflicts") or kept.get("abandoned"))

    @property
    def left(self) -> list[Step[Any]]:
        """All that a rollback had to leave: steps that nothing undoes, skipped ones, and those whose undo failed."""
        failed = [step for step, _ in (*self.failures, *self.conflicts)]
        return [*self.not_undone, *self.skipped, *failed, *self.abandoned]

    @property
    def clean(self) -> bool:
        """Whether nothing was left behind."""
        return not self.left

    def _include(self, inner: Report) -> None:
        """Take over what happened in a savepoint that is now over; called again, it does nothing."""
        if inner._included:
            return
        kept = ("failures", "conflicts", "skipped", "not_undone", "abandoned", "dropped", "never_awaited")
        for attribute in ("_undone", *kept):
            if attribute in vars(inner):
                getattr(self, attribute).extend(getattr(inner, attribute))
        inner._included, self._cut_short = True, inner._cut_short or self._cut_short

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, fit for JSON; errors as text, arguments as short text."""
        told: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        told = {"format": FORMAT, **told, "state": str(self.state)}
        told["steps"] = [step.as_dict() for step in self.steps]
        told["steps_known"], told["undone"] = self.steps_known, self.undone
        for kind in ("failures", "conflicts"):
            told[kind] = [{"step": step.name, "error": self._text(error)} for step, error in getattr(self, kind)]
        for kind in ("skipped", "not_undone", "abandoned", "dropped", "left"):
            told[kind] = [step.name for step in getattr(self, kind)]
        told["hooks"] = _hooks(self)
        told["hook_failures"] = [{"hook": name, "error": self._text(error)} for name, error in self.hook_failures]
        told["hooks_not_run"], told["never_awaited"] = list(self.hooks_not_run), list(self.never_awaited)
        told["journal_failures"] = [str(error) for error in self.journal_failures]
        told["clean"] = self.clean
        return told

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """The report that `as_dict` has made plain data of, in this process or another one.

        Errors are `PastError`s then, and steps `StepReport`s.

        Raises:
            TypeError: if it is no mapping.
            ValueError: if it is no such data, or that of a version that this one does not know.
        """
        return _read(cls, data)

    # -- to be looked at

    def to_text(self, *, width: int = 80, unicode: bool = True) -> str:
        """Draw it as a short timeline, forward and back.

        Args:
            width: no line is longer; from 20 columns up.
            unicode: False for ASCII alone.
        """
        from .views.text import to_text

        return to_text(self.as_dict(), width=width, unicode=unicode)

    def to_svg(self) -> str:
        """Draw it as a picture that needs nothing else, in light and dark."""
        from .views.svg import to_svg

        return to_svg(self.as_dict())

    def to_mermaid(self) -> str:
        """Draw it as a Mermaid diagram, for pages that know these, such as GitHub's."""
        from .views.mermaid import to_mermaid

        return to_mermaid(self.as_dict())

    def to_html(self) -> str:
        """Make a page of it that needs nothing else: the picture, and a table of facts."""
        from .views.html import to_html

        return to_html(self.as_dict())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What notebooks show."""
        from .views.mime import mimebundle

        return mimebundle(self.as_dict(), include, exclude)

    @property
    def outcomes(self) -> str:
        """What rollbacks have done so far, in words, of very many things the first ones; empty if there was none."""
        words = [f"{len(self._undone)} undone" if self._undone else ""]
        words.append(listed(self.failures, lambda each: f"undo of {each.step.name} failed ({self._text(each.error)})"))
        words.append(listed(self.conflicts, lambda each: f"conflict in {each.step.name} ({self._text(each.error)})"))
        left = {"skipped": self.skipped, "not undone": self.not_undone, "abandoned": self.abandoned}
        for label, steps in {**left, "never started": self.dropped}.items():
            words += [f"{label}: {listed(steps, lambda step: step.name)}"] if steps else []
        words.append(
            listed(self.hook_failures, lambda each: f"commit hook {each.name} failed ({self._text(each.error)})")
        )
        words.append(listed(self.hooks_not_run, lambda name: f"commit hook {name} not run"))
        words += [f"never awaited: {listed(self.never_awaited)}"] if self.never_awaited else []
        words += [f"not recorded ({error})" for error in self.journal_failures[:1]]
        return ", ".join(filter(None, words))

    @property
    def summary(self) -> str:
        """What has happened, in one line."""
        outcomes = self.outcomes
        if self.state in ("committed", "released") and self._undone:
            outcomes = f"on the way, {outcomes}"
        return f"{self.name} {self.state}" + (f": {outcomes}" if outcomes else "")

    def __str__(self) -> str:
        from .views.labels import knows_unicode

        unicode = knows_unicode(sys.stdout)  # where it is mostly printed, in an `except` that has other worries
        if self.steps or not self.steps_known:
            return self.to_text(unicode=unicode)
        return self.summary if unicode else self.summary.encode("ascii", "backslashreplace").decode()

    def __rich__(self) -> Any:
        """What rich prints: the same in colours."""
        from .views.coloured import Coloured

        return Coloured(self.as_dict())

    def __repr__(self) -> str:
        return f"<Report {self.summary}>"


#: The states in which all that could be undone has been.
_OVER: Final = (
    TransactionState.ROLLED_BACK,
    TransactionState.ROLLED_BACK_WITH_FAILURES,
    TransactionState.UNDONE_LATER,
    QueueState.ROLLBACK_COMPLETE,
)

_PLAIN: Final = ("kind", "name", "id", "state", "error", "started", "ended", "reason")


def _hooks(report: Report) -> list[dict[str, Any]]:
    """The commit hooks, as plain data."""
    made: list[dict[str, Any]] = [
        {"name": name, "state": "done", "error": None}
        if error is None
        else {"name": name, "state": "failed", "error": report._text(error)}
        for name, error in report.hooks
    ]
    return made + [{"name": name, "state": "not run", "error": None} for name in report.hooks_not_run]


class _Past:
    """A step of which only the name is known."""

    def __init__(self, name: str) -> None:
        self.name = name


def _read(cls: type[Report], told: Any) -> Report:
    data: Any = told
    if not isinstance(told, Mapping):
        raise TypeError(
            f"a report is made of the mapping that as_dict() makes, not of {data!r:.80}; of JSON, json.loads() makes it"
        )
    if "format" not in data:
        raise ValueError("this is no report of actionqueues: it has no format, as what as_dict() makes has")
    if data["format"] != FORMAT:
        known = f"this version of actionqueues reads format {FORMAT}"
        raise ValueError(f"a report of format {data['format']!r:.20} cannot be read: {known}")
    report = cls("", "")
    known_steps: dict[str, Any] = {}
    past: Any = _Past
    try:
        for name in _PLAIN:
            setattr(report, "_cause" if name == "error" else name, _checked(name, data.get(name)))
        steps = [StepReport.from_dict(each) for each in data.get("steps", ())]
        stack = list(steps)
        while stack:
            each = stack.pop()
            known_steps.setdefault(each.name, each)
            stack += each.contains
        report._traced, report._read_known = steps, bool(data.get("steps_known", True))
        report._undone = [_Past(str(name)) for name in data.get("undone", ())]
        for kind in ("failures", "conflicts"):
            found = [
                (known_steps.get(each["step"]) or past(each["step"]), each["error"]) for each in data.get(kind, ())
            ]
            setattr(report, kind, [UndoFailure(step, PastError(error)) for step, error in found])
        for kind in ("skipped", "not_undone", "abandoned", "dropped"):
            setattr(report, kind, [known_steps.get(name) or past(str(name)) for name in data.get(kind, ())])
        report.hooks = [
            HookCall(each["name"], None if each["error"] is None else PastError(each["error"]))
            for each in data.get("hooks", ())
            if each["state"] != "not run"
        ]
        report.hook_failures = [
            HookFailure(each["hook"], PastError(each["error"])) for each in data.get("hook_failures", ())
        ]
        report.hooks_not_run = [str(name) for name in data.get("hooks_not_run", ())]
        report.never_awaited = [str(name) for name in data.get("never_awaited", ())]
        report.journal_failures = list[Exception](PastError(str(text)) for text in data.get("journal_failures", ()))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no report of actionqueues, or a damaged one: {shown(error)}") from error
    return report


def _checked(name: str, value: Any) -> Any:
    """A plain field, if it is what it should be."""
    number = name in ("id", "started", "ended")
    needed = name in ("kind", "name", "state")
    fits = isinstance(value, str) if not number else isinstance(value, int | float) and not isinstance(value, bool)
    if not (fits or (value is None and not needed)):
        raise ValueError(f"a report has the {name} {value!r:.80}")
    return value
