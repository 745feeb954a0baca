"""The block itself: what leaves it leaves it unchanged, and it ends however it is left."""

from __future__ import annotations

import contextvars
import sqlite3
import traceback
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from actionqueues import (
    IllegalOperation,
    NoTransaction,
    Retry,
    Transaction,
    TransactionClosed,
    TransactionDoomed,
    action,
    current_step,
    current_transaction,
    transaction,
)

from .inside import forget_context
from .world import Boom, Stop, World

LEAVING: list[Callable[[], BaseException]] = [
    lambda: Boom("boom"),
    lambda: Stop("stop"),
    KeyboardInterrupt,
    lambda: SystemExit(3),
    GeneratorExit,
    lambda: StopIteration(1),
    lambda: StopAsyncIteration(1),
    lambda: ExceptionGroup("two", [Boom("1"), Boom("2")]),
    lambda: BaseExceptionGroup("two", [Boom("1"), KeyboardInterrupt()]),
]


@pytest.fixture(params=LEAVING, ids=lambda make: type(make()).__name__)
def error(request: pytest.FixtureRequest) -> BaseException:
    made: BaseException = request.param()
    return made


@pytest.fixture
def w() -> World:
    return World()


@pytest.fixture(autouse=True)
def _nothing_is_left_current() -> Generator[None]:
    yield
    assert forget_context() == {}


def fail_in_body(w: World, error: BaseException) -> None:
    with transaction():
        w.define("a")()
        raise error


def fail_in_step(w: World, error: BaseException) -> None:
    @action(read_only=True)
    def failing() -> None:
        raise error

    with transaction():
        w.define("a")()
        failing()


def fail_in_step_inside_a_step(w: World, error: BaseException) -> None:
    @action(read_only=True)
    def inner(value: int) -> None:
        raise error

    @action(read_only=True, retry=Retry(on=OSError))
    def outer(*values: int) -> None:
        inner(*values)

    with transaction():
        w.define("a")()
        outer(1)


def fail_in_queued_step(w: World, error: BaseException) -> None:
    @action(read_only=True)
    def failing(*, value: int) -> None:
        raise error

    with transaction() as q:
        q.add(w.define("a"))
        q.add(failing, value=1)


def fail_in_plain_callable(w: World, error: BaseException) -> None:
    def failing() -> None:
        raise error

    with transaction() as q:
        q.add(w.define("a"))
        q.add(failing)
        q.execute()


def fail_in_savepoint(w: World, error: BaseException) -> None:
    with transaction():
        w.define("a")()
        with transaction():
            raise error


def fail_in_decorated(w: World, error: BaseException) -> None:
    @transaction
    def decorated() -> None:
        w.define("a")()
        raise error

    decorated()


PLACES = [
    fail_in_body,
    fail_in_step,
    fail_in_step_inside_a_step,
    fail_in_queued_step,
    fail_in_plain_callable,
    fail_in_savepoint,
    fail_in_decorated,
]


@pytest.mark.parametrize("place", PLACES)
def test_the_very_same_exception_leaves_the_block_without_a_context(
    place: Callable[[World, BaseException], None], error: BaseException, w: World
) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the object is compared
        place(w, error)
    assert caught.value is error
    assert (error.__cause__, error.__context__, error.__suppress_context__) == (None, None, False)
    notes = [note for note in getattr(error, "__notes__", []) if " was queued at " not in note]
    assert notes == ["actionqueues: not undone: failing (no rollback handler)"] * (place is fail_in_plain_callable)
    assert w.trail == ["+a", "-a"]


@pytest.mark.parametrize("place", PLACES)
def test_cause_and_context_of_what_leaves_the_block_stay(
    place: Callable[[World, BaseException], None], error: BaseException, w: World
) -> None:
    cause, context = KeyError("cause"), KeyError("context")
    error.__context__, error.__cause__ = context, cause
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the object is compared
        place(w, error)
    assert caught.value is error
    assert (error.__cause__, error.__context__, error.__suppress_context__) == (cause, context, True)


def test_failing_handlers_leave_context_and_traceback_of_the_original_alone(error: BaseException, w: World) -> None:
    at_the_raise: list[traceback.FrameSummary] = []
    with pytest.raises(BaseException) as caught, transaction():  # noqa: PT011 - the object is compared
        w.define("a", undo_fails=[Boom("undo")])()
        try:
            raise error
        except BaseException:
            at_the_raise = list(traceback.extract_tb(error.__traceback__))
            raise
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == [f.name for f in at_the_raise]
    assert error.__notes__ == ["actionqueues: the undo of a failed: Boom('undo')"]


def test_the_last_error_of_a_retried_step_has_no_context(w: World) -> None:
    last = Boom("2")
    with pytest.raises(Boom) as caught, transaction():
        w.define("a", fails=[Boom("1"), last], retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))()
    assert caught.value is last
    assert last.__context__ is None


@pytest.mark.parametrize("retry", [None, Retry(attempts=1)], ids=["plain", "with a policy"])
def test_the_traceback_of_a_step_shows_the_call_of_its_body(retry: Retry | None) -> None:
    @action(retry=retry)
    def failing(one: int, two: int, three: int) -> None:
        raise Boom("boom")

    @action(retry=None if retry else Retry())
    def other(one: int, two: int, three: int) -> None:
        """Has the same parameters and the other kind of frame, made later."""

    with pytest.raises(Boom) as caught, transaction():
        failing(1, 2, 3)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].name == "failing"
    assert frames[-2].line is not None
    assert frames[-2].line.startswith("result = record[0] = body(")


def test_exceptions_handled_inside_handlers_do_not_become_a_context(w: World) -> None:
    async def undo(_: Any) -> None:
        with pytest.raises(KeyError):
            raise KeyError("handled")

    error = Boom("body")
    with pytest.raises(Boom), transaction():
        w.define("a", undo=undo)()
        raise error
    assert error.__context__ is None


@pytest.mark.parametrize("how", ["add", "on_rollback", "savepoint", "rollback"])
def test_what_an_undo_at_once_does_to_its_block_is_refused_or_undone_in_its_turn(how: str, w: World) -> None:
    async def undo(_: Any) -> None:
        if how == "add":
            q.add(w.define("b"))
            q.execute()
        elif how == "on_rollback":
            q.on_rollback(w.say, "-b")
            w.say("+b")
        elif how == "savepoint":
            with q.savepoint():
                w.define("b")()
        else:
            q.rollback()

    with pytest.raises((Boom, TransactionClosed)), transaction() as q:
        w.define("z")()
        with w.caught():
            w.define("a", undo=undo, fails=[Boom("a")])()
        w.define("c")()
        raise Boom("body")
    started = [word for word in w.trail if word.startswith("+") and word != "+a"]
    undone = [word for word in w.trail if word.startswith("-") and word != "-a"]
    assert [word[1:] for word in undone] == [word[1:] for word in reversed(started)]
    assert w.trail.count("-a") == 1


# ---------------------------------------------------------------- entering


def test_a_block_gives_the_transaction_that_was_made() -> None:
    made = transaction("named")
    with made as q:
        assert q is made
        assert (q.name, q.state, str(q.state)) == ("named", "open", "open")
        assert current_transaction() is q
    assert q.state == "committed"
    assert transaction().name == "transaction"


# ---------------------------------------------------------------- leaving


def test_leaving_an_outer_block_before_the_inner_one_undoes_both_and_says_so(w: World) -> None:
    outer, inner = transaction("outer"), transaction("inner")
    outer.__enter__()
    w.define("a")()
    inner.__enter__()
    w.define("b")()
    with pytest.raises(IllegalOperation) as caught:
        outer.__exit__(None, None, None)
    assert str(caught.value) == (
        "cannot commit the transaction 'outer': the savepoint 'inner' inside it is still open; leave the inner block "
        "first, as `with` does"
    )
    assert w.trail == ["+a", "+b", "-b", "-a"]
    assert (outer.state, inner.state) == ("rolled back", "rolled back")
    with pytest.raises(TransactionDoomed, match="has been undone with the block around it"):
        inner.__exit__(None, None, None)
    assert w.trail == ["+a", "+b", "-b", "-a"]
    with pytest.raises(NoTransaction):
        current_transaction()


def test_an_outer_block_that_fails_undoes_an_inner_one_that_is_still_open(w: World) -> None:
    outer, inner = transaction("outer"), transaction("inner")
    outer.__enter__()
    w.define("a")()
    inner.__enter__()
    w.define("b")()
    w.define("c")()
    error = Boom("body")
    outer.__exit__(Boom, error, None)
    assert w.trail == ["+a", "+b", "+c", "-c", "-b", "-a"]
    inner.__exit__(Boom, error, None)
    assert (outer.state, inner.state, len(w.trail)) == ("rolled back", "rolled back", 6)


def test_a_block_left_while_a_generator_holds_it_open_is_rolled_back_when_that_is_closed(w: World) -> None:
    def stream() -> Generator[Transaction]:
        with transaction() as q:
            w.define("a")()
            yield q

    generator = stream()
    q = next(generator)
    generator.close()
    assert (q.state, w.trail) == ("rolled back", ["+a", "-a"])


@pytest.mark.parametrize("fails", [False, True])
def test_leaving_in_another_context_raises_nothing_and_still_ends_it(fails: bool, w: World) -> None:
    q = transaction()
    contextvars.copy_context().run(q.__enter__)
    error = Boom("body") if fails else None
    contextvars.copy_context().run(q.__exit__, type(error) if error else None, error, None)
    assert q.state == ("rolled back" if fails else "committed")


@pytest.mark.parametrize("fails", [False, True])
def test_steps_taken_in_the_context_of_the_block_are_undone_when_it_is_left_in_a_copy_of_it(
    fails: bool, w: World
) -> None:
    context = contextvars.copy_context()
    q = context.run(transaction("elsewhere").__enter__)
    context.run(w.define("a"))
    error = Boom("body") if fails else None
    copy = context.copy()
    copy.run(q.__exit__, type(error) if error else None, error, None)
    assert w.trail == ["+a", *(["-a"] if fails else [])]
    with pytest.raises(NoTransaction):
        copy.run(current_transaction)
    with pytest.raises(NoTransaction):  # the block has ended there too, and is nobody's surrounding
        context.run(current_transaction)
    context.run(w.define("b"))
    assert w.trail[-1] == "+b"


def test_a_block_entered_in_a_context_that_is_gone_hides_nothing_of_the_block_around_it(w: World) -> None:
    with transaction("outer") as outer:
        inner = transaction("inner")
        contextvars.copy_context().run(inner.__enter__)
        assert current_transaction() is outer
        inner.__exit__(None, None, None)
        assert current_transaction() is outer
        w.define("a")()
    assert (inner.state, outer.state) == ("released", "committed")


def test_blocks_can_be_kept_on_an_exit_stack(w: World) -> None:
    with pytest.raises(Boom), ExitStack() as stack:
        stack.enter_context(transaction())
        w.define("a")()
        stack.callback(w.say, "callback")
        stack.enter_context(transaction())
        w.define("b")()
        raise Boom("body")
    assert w.trail == ["+a", "+b", "-b", "callback", "-a"]


# ---------------------------------------------------------------- real systems


def test_a_row_and_a_file_are_both_there_or_neither_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "users.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE)")

        @action
        def insert(email: str) -> int | None:
            return db.execute("INSERT INTO users (email) VALUES (?)", (email,)).lastrowid

        @insert.rollback
        def delete(result: int | None) -> None:
            db.execute("DELETE FROM users WHERE id = ?", (result,))

        @action
        def write(path: Path, text: str) -> None:
            with path.open("x") as file:
                current_step().save(made=True)
                file.write(text)

        @write.rollback
        def remove(path: Path, step: Any) -> None:
            if step.saved:
                path.unlink()

        def sign_up(email: str) -> int | None:
            with transaction("sign-up"):
                user = insert(email)
                write(tmp_path / f"{email}.txt", email)
                return user

        (tmp_path / "eve.txt").write_text("was here before")
        assert sign_up("ada") == 1
        with pytest.raises(sqlite3.IntegrityError):
            sign_up("ada")
        with pytest.raises(FileExistsError):
            sign_up("eve")
        assert db.execute("SELECT email FROM users").fetchall() == [("ada",)]
        assert (tmp_path / "eve.txt").read_text() == "was here before"
        assert (tmp_path / "ada.txt").read_text() == "ada"
