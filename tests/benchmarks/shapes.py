"""What a step costs in every shape: kinds of functions, ways to pass arguments, options, blocks, and up to a million.

The loops are compiled from text, so that each calls its step as a program would, and nothing else.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from actionqueues import Retry, action, transaction
from tests.benchmarks.candidates import Failure, Numbers, Work
from tests.benchmarks.timing import Effort, blocks_of, side_by_side

THOUSAND: Numbers = tuple(range(1000))
MILLION: Numbers = range(1_000_000)


def _function(a: int, b: int) -> int:
    return a


def _with_default(a: int, b: int = 2) -> int:
    return a


def _keyword_only(a: int, *, b: int) -> int:
    return a


def _undo(a: int, b: int) -> None:
    return None


class _Plain:
    def method(self, a: int, b: int) -> int:
        return a

    @classmethod
    def of_class(cls, a: int, b: int) -> int:
        return a

    @staticmethod
    def static(a: int, b: int) -> int:
        return a

    def undo(self, a: int, b: int) -> None:
        return None


class _Decorated:
    @action
    def method(self, a: int, b: int) -> int:
        return a

    @method.rollback
    def undo(self, a: int, b: int) -> None:
        return None

    @action
    @classmethod
    def of_class(cls, a: int, b: int) -> int:
        return a

    @of_class.rollback
    @classmethod
    def undo_of_class(cls, a: int, b: int) -> None:
        return None

    @action
    @staticmethod
    def static(a: int, b: int) -> int:
        return a


_Decorated.static.rollback(_undo)


def _decorated(function: Any, **options: Any) -> Any:
    made: Any = action(**options)(function)
    made.rollback(_undo)
    return made


class Shape(NamedTuple):
    """How a step is called, on either side, and what its block has besides."""

    name: str
    call: str
    plain: Any
    ours: Any
    block: str = "transaction()"
    first: str = "pass"
    callback: str = "undo, i, 2"


_plain, _ours = _Plain(), _Decorated()
SHAPES = (
    Shape("a function", "step(i, 2)", _function, _decorated(_function)),
    Shape("by keyword", "step(a=i, b=2)", _function, _decorated(_function)),
    Shape("with a default", "step(i)", _with_default, _decorated(_with_default)),
    Shape("with a keyword-only parameter", "step(i, b=2)", _keyword_only, _decorated(_keyword_only)),
    Shape("a method", "step.method(i, 2)", _plain, _ours, callback="step.undo, i, 2"),
    Shape("a class method", "step.of_class(i, 2)", _Plain, _Decorated),
    Shape("a static method", "step.static(i, 2)", _Plain, _Decorated),
    Shape("with a retry policy", "step(i, 2)", _function, _decorated(_function, retry=Retry(attempts=3))),
    Shape("a hook in the block", "step(i, 2)", _function, _decorated(_function), first="q.on_commit(undo, 1, 2)"),
    Shape("in a savepoint", "step(i, 2)", _function, _decorated(_function), block="transaction(), transaction()"),
)

_EXIT_STACK = """
def commit(numbers):
    with ExitStack() as q:
        for i in numbers:
            {call}
            q.callback({callback})
        q.pop_all()

def undone(numbers):
    try:
        with ExitStack() as q:
            for i in numbers:
                {call}
                q.callback({callback})
            raise Failure
    except Failure:
        pass
"""

_OURS = """
def commit(numbers):
    with {block} as q:
        {first}
        for i in numbers:
            {call}

def undone(numbers):
    try:
        with {block} as q:
            {first}
            for i in numbers:
                {call}
            raise Failure
    except Failure:
        pass
"""


def _compiled(source: str, shape: Shape, step: Any) -> tuple[Work, Work]:
    space: dict[str, Any] = {"step": step, "undo": _undo, "ExitStack": ExitStack, "Failure": Failure}
    space["transaction"] = transaction
    exec(source.format(**shape._asdict()), space)
    return space["commit"], space["undone"]


def works_of(shape: Shape) -> dict[str, Work]:
    """The work over ``ExitStack`` and over this library, committed and undone."""
    baseline, baseline_undone = _compiled(_EXIT_STACK, shape, shape.plain)
    ours, ours_undone = _compiled(_OURS, shape, shape.ours)
    return {"baseline": baseline, "ours": ours, "baseline, undone": baseline_undone, "ours, undone": ours_undone}


class Measured(NamedTuple):
    """Nanoseconds a step of the baseline, and ratios to it."""

    name: str
    baseline: float
    committed: float
    undone: float


def shapes(effort: Effort) -> Iterator[Measured]:
    """Measure every shape, and in the end a million steps against a thousand."""
    for shape in SHAPES:
        times = side_by_side({name: blocks_of(work, THOUSAND) for name, work in works_of(shape).items()}, effort)
        baseline, ours, baseline_undone, ours_undone = (each.best for each in times.values())
        yield Measured(shape.name, baseline, ours / baseline, ours_undone / baseline_undone)
    works = works_of(SHAPES[0])
    short = side_by_side({name: blocks_of(works[name], THOUSAND) for name in ("ours", "ours, undone")}, effort)
    long = side_by_side({name: blocks_of(works[name], MILLION) for name in ("ours", "ours, undone")}, effort)
    grown = [long[name].best / short[name].best for name in short]
    yield Measured("a function at 1 000 000, against at 1000", short["ours"].best, *grown)
