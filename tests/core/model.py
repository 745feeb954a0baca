"""What a transaction must do, written down so simply that it can be checked by reading: everything is one stack.

A step, an undo recorded by hand, a commit hook and a step that is queued each push one record.  A savepoint, and a
step, remember how high the stack was when they began; undoing them pops down to there.  A commit calls the hooks that
are still on the stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

#: How often the body of a step with a policy, and an undo with one, is attempted.
ATTEMPTS = 3

Body: TypeAlias = Literal["ok", "fail", "flaky", "halt"]
Undo: TypeAlias = Literal["ok", "none", "irreversible", "fail", "conflict", "flaky", "result"]
End: TypeAlias = Literal["leave", "raise", "rollback", "rollback and call"]


@dataclass(frozen=True)
class Call:
    """A step: called directly, or queued (and then perhaps given the result of a step queued before)."""

    body: Body
    undo: Undo
    fails: int  # how many attempts of what is flaky fail
    inside: tuple[Op, ...]  # what its body does
    caught: bool
    queued: bool
    earlier: int | None
    name: str = ""


@dataclass(frozen=True)
class Execute:
    """Run the queue now."""

    caught: bool


@dataclass(frozen=True)
class OnRollback:
    """Record an undo for something that was done by hand."""

    fails: bool
    name: str = ""


@dataclass(frozen=True)
class OnCommit:
    """Register a hook."""

    fails: bool
    name: str = ""


@dataclass(frozen=True)
class Inner:
    """A block inside the block: a savepoint, or an independent one."""

    independent: bool
    inside: tuple[Op, ...]
    end: End
    caught: bool
    name: str = ""


Op: TypeAlias = Call | Execute | OnRollback | OnCommit | Inner


class Boom(Exception):
    """What a step, an undo, a hook or a block raises."""


class Halt(BaseException):
    """What nobody catches and nothing retries."""


class Conflict(Exception):
    """What an undo raises that leaves something alone."""


class Misuse(Exception):
    """What the package itself raises, by the name of the class."""

    lists: Sequence[str] = ()  # the notes of the undos that it names itself


def text_of(error: BaseException) -> str:
    """An exception, as both sides tell it."""
    return str(error) if isinstance(error, Misuse) else repr(error)


def add_note_once(error: BaseException, note: str) -> None:
    """Add a note, unless it has got it already."""
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


@dataclass
class Record:
    """One thing on the stack."""

    item: Call | OnRollback | OnCommit
    result: str | None = None
    started: bool = False
    undone: bool = False
    dropped: bool = False  # what has queued it has been undone


@dataclass
class Mark:
    """Where something on the stack was queued."""

    queued: Record


@dataclass
class Left:
    """Where something stood on the stack that was undone, but not all of it."""


@dataclass
class Undone:
    """What is to be told of an undoing."""

    before: bool = False  # it has met something that was undone before, but not all of it

    left: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])

    @property
    def clean(self) -> bool:
        return not (self.left or self.failed or self.before)


@dataclass
class Report:
    """What became of a transaction."""

    state: str = "open"
    undone: list[str] = field(default_factory=list[str])
    failures: list[str] = field(default_factory=list[str])
    conflicts: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])
    not_undone: list[str] = field(default_factory=list[str])
    dropped: list[str] = field(default_factory=list[str])


#: What an outermost block tells the exception that leaves it, in this order.
TOLD = ("not undone", "skipped", "failed", "conflict")


@dataclass
class Trail:
    """Everything that both sides are compared by."""

    events: list[str] = field(default_factory=list[str])
    reports: list[Report] = field(default_factory=list[Report])
    came_out: str | None = None
    notes: list[str] = field(default_factory=list[str])


class Block:
    """An outermost block, or a savepoint of one."""

    def __init__(self, trail: Trail, outer: Block | None) -> None:
        self.trail = trail
        self.root: Block = self if outer is None else outer.root
        self.around: Block | None = None
        self.stack: list[Record | Mark | Left] = [] if outer is None else outer.stack
        self.start = len(self.stack)
        self.report: Report = Report() if outer is None else outer.report
        self.doom: list[str] = []  # the notes of the undos that have failed on the way
        self.told: dict[str, list[str]] = {kind: [] for kind in TOLD} if outer is None else outer.told
        self.closed = False
        self.queue: list[Record] = []
        self.added: list[Record] = []

    # -- undoing

    def undo_down_to(self, height: int) -> Undone:
        """Pop everything above `height`."""
        undone = Undone()
        dropped: list[str] = []
        while len(self.stack) > height:
            record = self.stack.pop()
            if isinstance(record, Left):
                undone.before = True
            elif isinstance(record, Mark):
                if not record.queued.started:
                    record.queued.dropped = True
                    dropped.insert(0, record.queued.item.name)
            elif not isinstance(record.item, OnCommit):
                self.undo(record, undone)
        self.report.dropped += dropped
        self.root.doom += undone.failed
        return undone

    def undo(self, record: Record, undone: Undone) -> None:
        item, report, events = record.item, self.report, self.trail.events
        assert not isinstance(item, OnCommit)
        how: str = item.undo if isinstance(item, Call) else "fail" if item.fails else "ok"
        if how in ("none", "irreversible"):
            report.not_undone.append(item.name)
            undone.left.append(f"{item.name} ({'irreversible' if how == 'irreversible' else 'no rollback handler'})")
            self.told["not undone"].append(undone.left[-1])
            return
        if how == "result" and record.result is None:
            report.skipped.append(item.name)
            undone.left.append(f"{item.name} (un{item.name} needs its result, which it does not have)")
            self.told["skipped"].append(undone.left[-1])
            return
        failing = {"fail": 1, "conflict": 1}.get(how, 0)
        if how == "flaky" and isinstance(item, Call):
            failing = min(item.fails, ATTEMPTS)
        events += [f"undo {item.name}: {number}" for number in range(1, failing + 1)]
        if failing and (how != "flaky" or failing == ATTEMPTS):
            problem = repr(Conflict(item.name) if how == "conflict" else Boom(item.name, failing))
            (report.conflicts if how == "conflict" else report.failures).append(f"{item.name} {problem}")
            undone.failed.append(
                f"the undo of {item.name} {'met a conflict' if how == 'conflict' else 'failed'}: {problem}"
            )
            self.told["conflict" if how == "conflict" else "failed"].append(undone.failed[-1])
            return
        events.append(f"undo {item.name}: {failing + 1}")
        report.undone.append(item.name)
        record.undone = True

    def roll_back(self, error: BaseException | None) -> list[str]:
        """End badly, unless it has ended already; returns the notes of the undos that have failed."""
        if self.closed:
            return []
        self.closed = True
        undone = self.undo_down_to(self.start)
        if self.around is not None and (undone.before or any(self.told.values())):
            self.around.stack.append(Left())
        if self is not self.root and not undone.clean:
            self.stack.append(Left())
        if self is self.root:
            failed = self.report.failures or self.report.conflicts
            self.report.state = "rolled back with failures" if failed else "rolled back"
        if error is not None and self is self.root:
            self.tell(error, error.lists if isinstance(error, Misuse) else ())
        return undone.failed

    def tell(self, error: BaseException, known: Sequence[str]) -> None:
        """One note for all that is left, and one for each undo that has failed; ten in all."""
        left = self.tell_left(error)
        failed = [note for note in (*self.told["failed"], *self.told["conflict"]) if note not in known]
        room = 10 - left
        more = f"{_more(len(failed) - room)}, see q.report" if len(failed) > room else ""
        for place, note in enumerate(failed[:room], 1):
            error.add_note(note + more * (place == room))

    def tell_left(self, error: BaseException) -> bool:
        left = [*self.told["not undone"], *self.told["skipped"]]
        if left:
            error.add_note(f"not undone: {', '.join(left[:10])}{_more(len(left) - 10)}")
        return bool(left)

    # -- doing

    def call(self, record: Record, given: str | None) -> str:
        item = record.item
        assert isinstance(item, Call)
        if self.closed:
            raise Misuse("TransactionClosed")
        height = len(self.stack)
        self.stack.append(record)
        record.started = True
        attempt = 0
        while True:
            attempt += 1
            self.trail.events.append(f"do {item.name}({given}): {attempt}")
            try:
                self.run(item.inside)
                if item.body == "halt":
                    raise Halt(item.name)
                if item.body == "fail" or (item.body == "flaky" and attempt <= item.fails):
                    raise Boom(item.name, attempt)
            except BaseException as error:
                clean = True
                if item.body == "flaky" and isinstance(error, Exception) and attempt < ATTEMPTS:
                    clean = self.undo_down_to(height + 1).clean
                    if clean:
                        continue
                    add_note_once(error, "not tried again, because something that it had made was left behind")
                elif attempt > 1 and isinstance(error, Exception):
                    error.add_note(f"gave up after {attempt} attempts")
                self.told_where(record, error)
                undone = self.undo_down_to(height)
                undone.left = [left for left in undone.left if not left.startswith(f"{item.name} (")]
                if not (clean and undone.clean):
                    self.stack.append(Left())
                raise
            record.result = f"the result of {item.name}"
            return record.result

    def add(self, item: Call) -> None:
        record = Record(item)
        self.queue.append(record)
        self.added.append(record)
        self.stack.append(Mark(record))

    def execute(self) -> None:
        while self.queue:
            record = self.queue[0]
            if record.dropped:
                self.queue.pop(0)
                continue
            earlier = self.earlier(record)
            if earlier is not None and (earlier.result is None or earlier.undone):
                refused = Misuse("IllegalOperation")
                self.told_where(record, refused)
                raise refused
            self.queue.pop(0)
            self.call(record, None if earlier is None else earlier.result)

    def told_where(self, record: Record, error: BaseException) -> None:
        item = record.item
        if isinstance(item, Call) and item.queued and isinstance(error, Exception):
            add_note_once(error, f"{item.name} was queued")

    def earlier(self, record: Record) -> Record | None:
        """The step whose result it is to be given, if it was queued with one."""
        place = next(i for i, added in enumerate(self.added) if added is record)
        item = record.item
        assert isinstance(item, Call)
        return None if item.earlier is None or place == 0 else self.added[item.earlier % place]

    def run(self, ops: Sequence[Op]) -> None:
        for op in ops:
            try:
                match op:
                    case Call(queued=True):
                        self.add(op)
                    case Call():
                        self.call(Record(op), None)
                    case Execute():
                        self.execute()
                    case OnRollback():
                        self.stack.append(Record(op, "by hand"))
                    case OnCommit():
                        self.stack.append(Record(op))
                    case Inner():
                        inner = Block(self.trail, None if op.independent else self)
                        inner.around = self if op.independent else None
                        run_block(op, inner)
            except Exception:
                if not (isinstance(op, Call | Execute | Inner) and op.caught):
                    raise

    # -- leaving

    def commit(self) -> None:
        self.check_doom()
        self.execute()
        self.check_doom()
        self.closed = True
        if self is self.root:
            self.report.state = "committed"

    def check_doom(self) -> None:
        if self.root.doom:
            doomed = Misuse("TransactionDoomed")
            doomed.lists = list(self.root.doom)
            raise doomed

    def call_hooks(self) -> None:
        failed: list[str] = []
        for record in self.stack:
            if isinstance(record, Record) and isinstance(record.item, OnCommit):
                self.trail.events.append(f"hook {record.item.name}")
                if record.item.fails:
                    failed.append(record.item.name)
        if failed:
            raise Misuse("CommitHookFailed")


def _more(count: int) -> str:
    return f" … and {count} more" if count > 0 else ""


def run_block(op: Inner, block: Block) -> None:
    """What ``with transaction() as q:`` does."""
    if block is block.root:
        block.trail.reports.append(block.report)
    try:
        block.run(op.inside)
        if op.end == "raise":
            raise Boom(op.name)
        if op.end.startswith("rollback"):
            if block.roll_back(None):
                failed = Misuse("RollbackFailed")
                if block is block.root:
                    block.tell_left(failed)
                raise failed
            if op.end == "rollback and call":
                block.call(Record(Call("ok", "ok", 0, (), False, False, None, op.name)), None)
        if not block.closed:
            block.commit()
    except BaseException as error:
        block.roll_back(error)
        raise
    if block is block.root and block.report.state == "committed":
        block.call_hooks()


def run_model(program: Inner) -> Trail:
    """What the program must do."""
    trail = Trail()
    try:
        run_block(program, Block(trail, None))
    except BaseException as error:
        trail.came_out = text_of(error)
        trail.notes = getattr(error, "__notes__", [])
    return trail
