"""The engine against a model of it, over random programs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actionqueues import (
    ActionQueuesError,
    CommitHookFailed,
    Retry,
    RollbackConflict,
    RollbackFailed,
    Step,
    Transaction,
    action,
    current_step,
    current_transaction,
    transaction,
)
from tests.inside import left_in_context

from .model import (
    ATTEMPTS,
    Body,
    Boom,
    Call,
    End,
    Execute,
    Halt,
    Inner,
    OnCommit,
    OnRollback,
    Op,
    Report,
    Trail,
    Undo,
    run_model,
    text_of,
)

SOON = Retry(attempts=ATTEMPTS, timeout=None, wait_initial=0, wait_jitter=0)


class Conflict(RollbackConflict):
    """Told as in the model."""


class Engine:
    """Does to the package what a program says."""

    def __init__(self) -> None:
        self.trail = Trail()
        self.added: dict[int, list[Step[Any]]] = {}
        self.raised: list[BaseException] = []
        self.blocks: list[Transaction] = []

    def error(self, error: BaseException) -> BaseException:
        self.raised.append(error)
        return error

    # -- making steps

    def action(self, item: Call) -> Any:
        def body(given: str | None = None) -> str:
            attempt = current_step().attempts
            self.trail.events.append(f"do {item.name}({given}): {attempt}")
            self.run(item.inside)
            if item.body == "halt":
                raise self.error(Halt(item.name))
            if item.body == "fail" or (item.body == "flaky" and attempt <= item.fails):
                raise self.error(Boom(item.name, attempt))
            return f"the result of {item.name}"

        body.__name__ = body.__qualname__ = item.name
        made = action(retry=SOON if item.body == "flaky" else None, irreversible=item.undo == "irreversible")(body)
        if item.undo not in ("none", "irreversible"):
            made.rollback(retry=SOON if item.undo == "flaky" else None)(self.handler(item))
        return made

    def handler(self, item: Call) -> Callable[..., None]:
        def undo_step(step: Step[Any]) -> None:
            number = step.saved["tried"] = step.saved.get("tried", 0) + 1
            self.trail.events.append(f"undo {item.name}: {number}")
            if item.undo == "conflict":
                raise Conflict(item.name)
            if item.undo == "fail" or (item.undo == "flaky" and number <= item.fails):
                raise Boom(item.name, number)

        def undo_result(result: object) -> None:
            assert result == f"the result of {item.name}"
            self.trail.events.append(f"undo {item.name}: 1")

        def undo_plain(given: object) -> None:
            self.trail.events.append(f"undo {item.name}: 1")

        undo_result.__name__ = undo_result.__qualname__ = f"un{item.name}"
        if item.undo == "result":
            return undo_result
        return undo_plain if item.undo == "ok" and len(item.inside) % 2 == 0 else undo_step

    def recorder(self, what: str, name: str, fails: bool) -> Callable[[], None]:
        def note() -> None:
            self.trail.events.append(f"{what} {name}" + (": 1" if what == "undo" else ""))
            if fails:
                raise Boom(name, 1)

        note.__name__ = note.__qualname__ = name
        return note

    # -- running

    def run(self, ops: tuple[Op, ...]) -> None:
        q = current_transaction()
        assert isinstance(q, Transaction)
        for op in ops:
            try:
                match op:
                    case Call(queued=True):
                        added = self.added.setdefault(id(q), [])
                        earlier = () if op.earlier is None or not added else (added[op.earlier % len(added)],)
                        added.append(q.add(self.action(op), *earlier))
                    case Call():
                        assert self.action(op)() == f"the result of {op.name}"
                    case Execute():
                        q.execute()
                    case OnRollback():
                        q.on_rollback(self.recorder("undo", op.name, op.fails))
                    case OnCommit():
                        q.on_commit(self.recorder("hook", op.name, op.fails))
                    case Inner():
                        self.block(op, transaction(op.name, independent=op.independent))
            except Exception:
                if not (isinstance(op, Call | Execute | Inner) and op.caught):
                    raise

    def block(self, op: Inner, block: Transaction) -> None:
        self.blocks.append(block)  # so that their ids stay different
        with block as q:
            if q._block.parent is None:
                self.trail.reports.append(q.report)  # type: ignore[arg-type]  # told at the end  # pyright: ignore[reportArgumentType]
            self.run(op.inside)
            if op.end == "raise":
                raise self.error(Boom(op.name))
            if op.end.startswith("rollback"):
                q.rollback()
                if op.end == "rollback and call":
                    self.action(Call("ok", "ok", 0, (), False, False, None, op.name))()

    def told(self, program: Inner) -> Trail:
        trail = self.trail
        try:
            self.block(program, transaction(program.name))
        except BaseException as error:
            package = isinstance(error, ActionQueuesError | CommitHookFailed | RollbackFailed)
            trail.came_out = type(error).__name__ if package else text_of(error)
            trail.notes = [_note(note) for note in getattr(error, "__notes__", ())]
            if not package and not any(error is raised for raised in self.raised):
                trail.came_out = f"another object, {error!r}"
        trail.reports = [_plain(block.report) for block in self.blocks if block._block.parent is None]
        return trail


def _note(note: str) -> str:
    words = note.removeprefix("actionqueues: ")
    if " was queued at " in words:
        assert words.rpartition(":")[0].endswith(__file__)
        return words.partition(" at ")[0]
    return words.partition(" in ")[0] if words.startswith("gave up") else words


def _plain(report: Any) -> Report:
    return Report(
        str(report.state),
        report.undone,
        [f"{step.name} {error!r}" for step, error in report.failures],
        [f"{step.name} {error!r}" for step, error in report.conflicts],
        [step.name for step in report.skipped],
        [step.name for step in report.not_undone],
        [step.name for step in report.dropped],
    )


def numbered(op: Op, number: Iterator[int]) -> Op:
    """The same with names that are all different."""
    if isinstance(op, Execute):
        return op
    name = f"{type(op).__name__.lower()}{next(number)}"
    if isinstance(op, Call | Inner):
        return replace(op, name=name, inside=tuple(numbered(inner, number) for inner in op.inside))
    return replace(op, name=name)


def often(value: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([value] * (len(others) + 1) + list(others))


def calls(inside: st.SearchStrategy[tuple[Op, ...]]) -> st.SearchStrategy[Call]:
    return st.builds(
        Call,
        body=often("ok", "fail", "flaky", "flaky", "halt"),
        undo=often("ok", "none", "irreversible", "fail", "conflict", "flaky", "result", "result"),
        fails=st.integers(0, ATTEMPTS),
        inside=inside,
        caught=st.booleans(),
        queued=often(False, True),
        earlier=st.none() | st.integers(0, 3),
    )


def blocks(inside: st.SearchStrategy[tuple[Op, ...]]) -> st.SearchStrategy[Inner]:
    end = often("leave", "raise", "rollback", "rollback and call")
    return st.builds(Inner, independent=often(False, True), inside=inside, end=end, caught=st.booleans())


leaves = (
    calls(st.just(()))
    | calls(st.just(()))
    | st.builds(Execute, caught=st.booleans())
    | st.builds(OnRollback, fails=often(False, True))
    | st.builds(OnCommit, fails=often(False, False, True))
)


def several(ops: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(ops, max_size=5).map(tuple)


ops = st.recursive(leaves, lambda inner: calls(several(inner)) | blocks(several(inner)), max_leaves=15)
programs = blocks(several(ops)).map(lambda op: numbered(replace(op, independent=False), count(1)))


@pytest.fixture(autouse=True, scope="module")
def silence() -> Iterator[None]:
    """Thousands of undos fail here, and each is logged."""
    logger = logging.getLogger("actionqueues")
    logger.disabled = True
    yield
    logger.disabled = False


def step(*inside: Op, body: Body = "ok", undo: Undo = "ok", caught: bool = False, queued: bool = False) -> Call:
    return Call(body, undo, 1, inside, caught, queued, None)


def block(*inside: Op, end: End = "leave", caught: bool = False, independent: bool = False) -> Inner:
    op = numbered(Inner(independent, inside, end, caught), count(1))
    assert isinstance(op, Inner)
    return op


@example(block(block(step()), step(body="fail", caught=True)))
@example(block(block(step()), step(step(), step(body="fail"), caught=True)))
@example(block(step(), step(queued=True), step(body="fail", caught=True)))
@example(block(step(block(OnCommit(False), independent=True))))
@example(block(step(step(OnCommit(False)), body="flaky")))
@example(block(block(step(undo="fail"), end="raise", caught=True), step()))
@example(block(step(block(step(queued=True), end="rollback and call", caught=True)), end="raise"))
@settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(programs)
def test_every_program_does_what_the_model_says(program: Inner) -> None:
    assert Engine().told(program) == run_model(program)
    assert left_in_context() == {}


@pytest.mark.slow
@settings(
    max_examples=1000,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(programs)
def test_so_do_many_more(program: Inner) -> None:
    assert Engine().told(program) == run_model(program)
    assert left_in_context() == {}
