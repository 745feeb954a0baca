"""`Counted`: what is going on in this process, in numbers: of each transaction that runs, and of all that have ended.

It listens to events, so it is called in many threads, and draws nothing.

Stands on labels.  Used by `progress`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import RLock
from typing import Any, Final, NamedTuple

from .labels import clipped, safe

__all__ = ["Counted", "Figures", "Run"]

#: So many of the steps that are running are named, and so much of a name is.
_NAMED: Final = 2
_LONGEST: Final = 40


class Figures(NamedTuple):
    """How far one transaction is, to be drawn.  All its texts are safe to show.

    Attributes:
        name: its name.
        back: whether it is being rolled back.
        done: steps that are done, or if it is on its way back, undone.
        total: of how many; None if nobody knows.
        far: both, as text.
        rate: steps in a second, or a minute, as text; "" for none yet.
        now: what is running, as text.
    """

    name: str
    back: bool
    done: int
    total: int | None
    far: str
    rate: str
    now: str

    @property
    def line(self) -> str:
        """All of it in one line."""
        return f"{self.name}: {', '.join(filter(None, [self.far, self.rate, self.now]))}"


class Run:
    """One transaction, queue or recovery, while it runs.  Keys are any objects that stand for its steps."""

    def __init__(self, name: str, total: int | None, clock: Callable[[], float], lock: RLock) -> None:
        self.name = clipped(safe(name), _LONGEST)
        self._clock, self._lock = clock, lock
        self._since = clock()
        self._total, self._direct = total, 0
        self._begun = self._settled = 0  # all steps, and those that have been undone, or left
        self.done = self.undone = 0
        self.state = ""
        self._back: int | None = None  # how many were settled when it turned
        self._running: dict[int, str] = {}

    def queued(self, count: int = 1) -> None:
        """So many more steps will run."""
        with self._lock:
            self._total = (self._total or 0) + count

    def started(self, key: object, name: str, *, queued: bool = True, inside: bool = False) -> None:
        """A step begins.

        Args:
            key: stands for it.
            name: its name.
            queued: whether it is one of those that were known to come.
            inside: whether it is a part of another step, and so not counted on the way forward.
        """
        with self._lock:
            self._begun += 1
            self._direct += not (queued or inside)
            self._running[id(key)] = name

    def retried(self, key: object, name: str, attempt: int) -> None:
        """It begins once more."""
        with self._lock:
            self._running[id(key)] = f"{safe(name)} (attempt {attempt})"

    def ended(self, key: object, *, inside: bool = False) -> None:
        """It is done, or has failed."""
        with self._lock:
            self._running.pop(id(key), None)
            self.done += not inside

    def recorded(self) -> None:
        """Something was done by hand, and will be undone."""
        with self._lock:
            self._begun += 1

    def turned(self) -> None:
        """From now on, all is undone."""
        with self._lock:
            self._running.clear()
            self._back, self._since = self._settled, self._clock()

    def undoing(self, key: object, name: str) -> None:
        """Its undo begins."""
        with self._lock:
            self._running[id(key)] = f"undo {safe(name)}"

    def settled(self, key: object, *, undone: bool) -> None:
        """It is undone, or had to be left."""
        with self._lock:
            self._running.pop(id(key), None)
            self._settled += 1
            self.undone += undone

    def figures(self) -> Figures:
        """How far it is."""
        with self._lock:
            running, since = list(self._running.values()), max(self._clock() - self._since, 0.0)
            back = self._back is not None
            done, total = self.done, None if self._total is None else self._total + self._direct
            if self._back is not None:
                done, total = self._settled - self._back, self._begun - self._back
        names = [clipped(safe(each), _LONGEST) for each in running[-_NAMED:]]
        more = f" and {len(running) - _NAMED:,} more" if len(running) > _NAMED else ""
        far = _steps(done)
        if total is not None:
            total = max(total, done)
            far = f"{done:,} of {total:,} {'undone' if back else 'steps'}"
        now = f"running {', '.join(names)}{more}" if names and not back else f"{', '.join(names)}{more}"
        return Figures(self.name, back, done, total, far, _rate(done, since), now)


class Counted:
    """All that is shown; its methods that are called like events are told of these.

    Args:
        clock: what time it is, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, RLock()  # one that a signal handler of the same thread does not wait for
        self._since = clock()
        self._runs: dict[int, Run] = {}
        self._reports: dict[int, object] = {}  # kept, so that their numbers stay theirs
        self._ended: Counter[str] = Counter()
        self._steps = self._undone = 0
        self._last: Run | None = None
        self._told: object = None

    # -- transactions

    def begin(self, name: str, total: int | None = None, report: object = None) -> Run:
        """A transaction, which is shown until it has ended; unless its report says that it is one already."""
        run = Run(name, total, self._clock, self._lock)
        with self._lock:
            if report is None or id(report) not in self._runs:
                key = run if report is None else report
                self._runs[id(key)], self._reports[id(key)] = run, key
        return run

    def end(self, run: Run) -> None:
        """It has ended."""
        with self._lock:
            for key in [key for key, each in self._runs.items() if each is run]:
                del self._runs[key], self._reports[key]
                self._ended[run.state or "ended"] += 1
                self._steps += run.done
                self._undone += run.undone
                self._last = run

    def _run(self, event: Any) -> Run:
        with self._lock:
            return self._runs.get(id(event.report)) or self.begin(event.report.name, report=event.report)

    def transaction_opened(self, event: Any) -> None:
        """See `TransactionOpened`."""
        self._run(event)

    def transaction_committed(self, event: Any) -> None:
        """See `TransactionCommitted`."""
        self._run(event).state = "committed"

    def transaction_rolling_back(self, event: Any) -> None:
        """See `TransactionRollingBack`."""
        self._run(event).turned()

    def transaction_rolled_back(self, event: Any) -> None:
        """See `TransactionRolledBack`."""
        self._run(event).state = "undone later" if event.report.state == "undone later" else "rolled back"

    def transaction_stuck(self, event: Any) -> None:
        """See `TransactionStuck`."""
        self._run(event).state = "stuck"

    def transaction_ended(self, event: Any) -> None:
        """See `TransactionEnded`."""
        self.end(self._run(event))

    # -- steps

    def step_queued(self, event: Any) -> None:
        """See `StepQueued`."""
        self._run(event).queued()

    def step_started(self, event: Any) -> None:
        """See `StepStarted`."""
        step = event.step
        self._run(event).started(step, step.name, queued=step.queued is not None, inside=_is_inside(step))

    def step_retried(self, event: Any) -> None:
        """See `StepRetried`."""
        self._run(event).retried(event.step, event.step.name, event.attempt)

    def step_done(self, event: Any) -> None:
        """See `StepDone`."""
        if event.step.kind == "by hand":
            self._run(event).recorded()
        else:
            self._run(event).ended(event.step, inside=_is_inside(event.step))

    def step_failed(self, event: Any) -> None:
        """See `StepFailed`."""
        self._run(event).ended(event.step, inside=_is_inside(event.step))

    def step_undoing(self, event: Any) -> None:
        """See `StepUndoing`."""
        self._run(event).undoing(event.step, event.step.name)

    def step_undone(self, event: Any) -> None:
        """See `StepUndone`."""
        self._run(event).settled(event.step, undone=True)

    def step_left(self, event: Any) -> None:
        """See `StepLeft`."""
        self._run(event).settled(event.step, undone=False)

    # -- to be shown

    def figures(self, most: int) -> tuple[list[Figures], str]:
        """Those that have run longest, of more than so many; and what is to be said of all others, or ""."""
        with self._lock:
            runs, total = list(self._runs.values()), sum(self._ended.values())
        parts = [f"{len(runs) - most:,} more running"] if len(runs) > most else []
        parts += [f"{total:,} ended ({self._outcomes()})"] if total else []
        return [run.figures() for run in runs[:most]], ", ".join(parts)

    def line(self) -> str:
        """What there is to be said now, in one line; "" if nothing runs, and nothing has ended since the last one."""
        figures, others = self.figures(1)
        if not figures and others == self._told:
            return ""
        self._told = others
        return "; ".join(filter(None, [*(each.line for each in figures), others]))

    @property
    def fine(self) -> bool:
        """Whether all has succeeded."""
        return set(self._ended) <= {"committed", "executed", "ended"}

    def result(self) -> str:
        """How all has come out, in one line; "" if there was nothing."""
        total, last, seconds = sum(self._ended.values()), self._last, max(self._clock() - self._since, 0.0)
        if last is None:
            return ""
        what = f"{last.name}: {last.state or 'ended'}" if total == 1 else f"{total:,} transactions: {self._outcomes()}"
        undone = f", {self._undone:,} undone" if self._undone else ""
        return f"{what}; {_steps(self._steps)}{undone} in {_spent(seconds)}"

    def _outcomes(self) -> str:
        with self._lock:
            return ", ".join(f"{count:,} {state}" for state, count in self._ended.most_common())


def _is_inside(step: Any) -> bool:
    """Whether a step is a part of another one, in savepoints or not."""
    around = step.parent
    while around is not None and around.kind == "savepoint":
        around = around.parent
    return around is not None


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count:,} steps"


def _rate(count: int, seconds: float) -> str:
    """How many in a second; or of less than one, in a minute."""
    if not count or seconds <= 0:
        return ""
    each = count / seconds
    return f"{each:,.0f}/s" if each >= 10 else f"{each:.1f}/s" if each >= 1 else f"{each * 60:.1f}/min"


def _spent(seconds: float) -> str:
    """A time that has passed, in at most two units."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
