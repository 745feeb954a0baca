"""Whatever a rollback had to leave is told without being asked for, and is not done again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from actionqueues import (
    ActionQueue,
    Report,
    Retry,
    RollbackFailed,
    action,
    current_transaction,
    transaction,
)

from .scripted import Boom

SOON = Retry(attempts=3, wait_initial=0, wait_jitter=0)
NOT_AGAIN = "actionqueues: not tried again, because something that it had made was left behind"

done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@action
def put(name: str) -> None:
    done.append(f"+{name}")


@put.rollback
def take(name: str) -> None:
    done.append(f"-{name}")


@action
def mail() -> None:
    done.append("mail")


@action
def charge() -> None:
    done.append("charge")
    raise ConnectionError("the reply is lost")


@action
def order() -> str:
    done.append("order")
    raise ConnectionError("the reply is lost")


@order.rollback
def cancel(result: str) -> None:
    done.append(f"cancel {result}")


class Shop:
    @action
    def sell(self, item: str, *, price: int = 1) -> None:
        done.append(f"+{item} for {price}")

    @sell.rollback
    def take_back(self, item: str) -> None:
        done.append(f"-{item}")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def notes_of(error: BaseException) -> list[str]:
    notes: list[str] = getattr(error, "__notes__", [])
    return [note for note in notes if " was queued at " not in note]


# ---------------------------------------------------------------- one line for all of it


def test_the_exception_that_leaves_the_block_has_one_line_for_all_that_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ConnectionError) as caught, transaction("order") as q:
        mail()
        with transaction("part"):
            mail()
            charge()
    left = "charge (no rollback handler), mail (no rollback handler)"
    assert notes_of(caught.value) == [f"actionqueues: not undone: {left}, mail (no rollback handler)"]
    # Each has been logged once, as soon as it was left.
    assert told(caplog) == [
        "WARNING order: not undone: mail (no rollback handler)" if text.startswith("order") else f"WARNING {text}"
        for text in (
            "part: not undone: charge (no rollback handler)",
            "part: not undone: mail (no rollback handler)",
            "order",
        )
    ]
    assert [step.name for step in q.report.left] == ["charge", "mail", "mail"]


def test_what_was_left_on_the_way_is_told_to_whatever_leaves_the_block_later() -> None:
    with pytest.raises(Boom) as caught, transaction():
        put("a")
        with pytest.raises(ConnectionError) as before:
            charge()
        raise Boom
    line = ["actionqueues: not undone: charge (no rollback handler)"]
    assert (notes_of(before.value), notes_of(caught.value)) == (line, line)


def test_an_error_that_goes_through_steps_and_is_caught_there_tells_what_each_had_to_leave() -> None:
    @action
    def outer() -> None:
        mail()
        charge()

    with transaction(), pytest.raises(ConnectionError) as caught:
        outer()
    assert [note.removeprefix("actionqueues: not undone: ") for note in notes_of(caught.value)] == [
        "charge (no rollback handler)",
        "mail (no rollback handler), outer (no rollback handler)",
    ]


def test_a_block_that_commits_all_the_same_warns_and_is_not_clean(caplog: pytest.LogCaptureFixture) -> None:
    with transaction("order") as q, pytest.raises(ConnectionError):
        charge()
    assert (q.state, q.report.clean, [step.name for step in q.report.left]) == ("committed", False, ["charge"])
    assert told(caplog) == ["WARNING order: not undone: charge (no rollback handler)"]


def test_an_explicit_rollback_raises_nothing_for_what_is_merely_left(caplog: pytest.LogCaptureFixture) -> None:
    with transaction("order") as q:
        mail()
        q.rollback()
    assert (q.state, q.report.clean) == ("rolled back", False)
    assert told(caplog) == ["WARNING order: not undone: mail (no rollback handler)"]


def test_an_explicit_rollback_that_fails_does_not_say_that_all_else_was_undone_if_it_was_not() -> None:
    @action
    def index() -> None: ...

    @index.rollback
    def unindex() -> None:
        raise Boom

    with transaction("order") as q:
        mail()
        index()
        put("a")
        with pytest.raises(RollbackFailed) as caught:
            q.rollback()
    assert caught.value.message == (
        "the transaction 'order': everything else that could be was rolled back, but not index"
    )
    assert notes_of(caught.value) == ["actionqueues: not undone: mail (no rollback handler)"]


@pytest.mark.parametrize("how", ["step", "block"])
def test_an_independent_block_and_the_one_around_it_each_tell_their_own(how: str) -> None:
    with pytest.raises(ConnectionError) as caught, transaction("outer"):
        mail()
        with transaction("inner", independent=True):
            if how == "step":
                charge()
            mail()
            raise ConnectionError
    inner = "charge" if how == "step" else "mail"
    assert [note.partition(" (")[0] for note in notes_of(caught.value)] == [
        f"actionqueues: not undone: {inner}",
        "actionqueues: not undone: mail",
    ]


def test_notes_of_others_stay_where_they_are() -> None:
    with pytest.raises(Boom) as caught, transaction():
        mail()
        with transaction():
            mail()
            error = Boom()
            error.add_note("mine")
            raise error
    left = ", ".join(["mail (no rollback handler)"] * 2)
    assert notes_of(caught.value) == ["mine", f"actionqueues: not undone: {left}"]


# ---------------------------------------------------------------- what has no undo, and what only seems so


def test_a_plain_callable_that_was_queued_has_no_undo() -> None:
    with pytest.raises(Boom), transaction() as q:
        q.add(done.append, "plain")
        q.execute()
        raise Boom
    assert [step.name for step in q.report.left] == ["list.append"]


ALIKE: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[str]]] = [
    (partial(put, "a"), (), {}, ["+a", "-a"]),
    (partial(put, name="a"), (), {}, ["+a", "-a"]),
    (partial(put), ("a",), {}, ["+a", "-a"]),
    (partial(partial(Shop().sell, "pen"), price=2), (), {}, ["+pen for 2", "-pen"]),
    (partial(Shop().sell, price=2), ("pen",), {"price": 3}, ["+pen for 3", "-pen"]),
    (partial(Shop.sell, Shop()), ("pen",), {}, ["+pen for 1", "-pen"]),
]


@pytest.mark.parametrize(("given", "args", "kwargs", "expected"), ALIKE)
def test_a_partial_of_an_action_is_that_action(
    given: Any, args: tuple[Any, ...], kwargs: dict[str, Any], expected: list[str]
) -> None:
    with pytest.raises(Boom), transaction() as q:
        step = q.add(given, *args, **kwargs)
        assert step.name in ("put", "Shop.sell")
        q.execute()
        raise Boom
    assert (done, q.report.clean, q.report.left) == (expected, True, [])
    done.clear()
    queue = ActionQueue()
    queue.add(given, *args, **kwargs)
    queue.execute()
    queue.rollback()
    assert (done, queue.report.clean) == (expected, True)


def test_a_partial_of_something_else_is_a_plain_callable() -> None:
    with pytest.raises(Boom), transaction() as q:
        q.add(partial(done.append, "plain"))
        q.execute()
        raise Boom
    assert (done, len(q.report.left)) == (["plain"], 1)


def test_the_arguments_of_a_partial_are_checked_when_it_is_added() -> None:
    with transaction() as q, pytest.raises(TypeError, match="'nope'"):
        q.add(partial(cast("Any", put), nope=1))


def test_a_classic_queue_stays_silent_but_for_the_log_and_its_report(caplog: pytest.LogCaptureFixture) -> None:
    queue = ActionQueue()
    queue.add(mail)
    queue.execute()
    queue.rollback()
    assert (queue.report.clean, [step.name for step in queue.report.left]) == (False, ["mail"])
    assert told(caplog) == ["WARNING action queue: not undone: mail (no rollback handler)"]


# ---------------------------------------------------------------- what is not done again


def in_a_caught_block() -> None:
    with pytest.raises(Boom), transaction():
        mail()
        raise Boom


def in_a_caught_step() -> None:
    with pytest.raises(ConnectionError):
        charge()


def by_skipping() -> None:
    with pytest.raises(ConnectionError):
        order()


def in_a_decorated_call() -> None:
    with pytest.raises(Boom):
        transaction("part")(in_turn)()


def in_turn() -> None:
    mail()
    raise Boom


LEAVING = [mail, in_a_caught_block, in_a_caught_step, by_skipping, in_a_decorated_call]


def called(body: Callable[[], object], *, is_async: bool) -> BaseException:
    """What comes out of a call of this function, decorated to be called up to three times."""

    @transaction(retry=SOON)
    def run() -> None:
        body()

    @transaction(retry=SOON)
    async def run_async() -> None:
        body()

    with pytest.raises(Boom) as caught:
        if is_async:
            asyncio.run(run_async())
        else:
            run()
    return caught.value


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("leave", LEAVING)
def test_a_decorated_function_is_not_called_again_if_anything_was_left(
    leave: Callable[[], object], is_async: bool
) -> None:
    reports: list[Report] = []

    def body() -> None:
        reports.append(current_transaction().report)
        put("a")
        leave()
        raise Boom

    notes = notes_of(called(body, is_async=is_async))
    assert done.count("+a") == done.count("-a") == 1
    assert notes[0].startswith("actionqueues: not undone: ")
    assert (notes[1:], [report.clean for report in reports]) == ([NOT_AGAIN], [False])


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_it_is_called_again_as_long_as_nothing_was_left(is_async: bool) -> None:
    attempts: list[int] = []

    def body() -> None:
        attempts.append(1)
        put("a")
        if len(attempts) == 2:
            mail()
        raise Boom

    notes = notes_of(called(body, is_async=is_async))
    assert (done, notes[-1]) == (["+a", "-a", "+a", "mail", "-a"], NOT_AGAIN)


def test_a_call_in_a_block_reports_all_its_attempts_there() -> None:
    attempts: list[int] = []

    @transaction(retry=SOON)
    def run() -> None:
        attempts.append(1)
        put("a")
        if len(attempts) < 3:
            raise Boom

    with transaction() as q:
        run()
    assert (q.report.undone, q.report.clean, len(attempts)) == (["put", "put"], True, 3)


def test_an_error_that_the_policy_would_not_have_tried_again_says_nothing_of_that() -> None:
    @transaction(retry=Retry(on=OSError))
    def run() -> None:
        mail()
        raise Boom

    with pytest.raises(Boom) as caught:
        run()
    assert notes_of(caught.value) == ["actionqueues: not undone: mail (no rollback handler)"]


def test_a_step_whose_own_policy_would_try_it_again_says_so_likewise() -> None:
    @action(retry=SOON, read_only=True)
    def both() -> None:
        mail()
        raise Boom

    with pytest.raises(Boom) as caught, transaction():
        both()
    assert done == ["mail"]
    assert NOT_AGAIN in notes_of(caught.value)


def test_what_only_reads_does_not_keep_a_call_from_being_made_again() -> None:
    @action(read_only=True)
    def look() -> None:
        done.append("look")
        if len(done) < 3:
            raise Boom

    transaction(retry=SOON)(look)()
    assert done == ["look"] * 3


# ---------------------------------------------------------------- what was left further inside


def in_a_savepoint() -> None:
    with transaction():
        mail()
        raise Boom


def in_a_block_of_its_own() -> None:
    with transaction(independent=True):
        mail()
        raise Boom


def in_a_queue() -> None:
    actions = ActionQueue()
    actions.add(mail)
    actions.execute()
    actions.rollback()
    raise Boom


@action(undo=str)
def inner() -> None:
    mail()
    raise Boom


@action(undo=str)
def middle() -> None:
    inner()


def in_a_step() -> None:
    inner()


def in_two_steps() -> None:
    middle()


def caught_there() -> None:
    with contextlib.suppress(Boom):
        in_a_savepoint()
    raise ConnectionError


def in_a_savepoint_of_its_own_policy() -> None:
    transaction(retry=SOON)(in_a_savepoint)()


DEEPER: list[Callable[[], object]] = [
    in_a_savepoint,
    in_a_block_of_its_own,
    in_a_queue,
    in_a_step,
    in_two_steps,
    caught_there,
    in_a_savepoint_of_its_own_policy,
]


@pytest.mark.parametrize("way", ["step", "step of an async block", "async step", "block", "async block"])
@pytest.mark.parametrize("deeper", DEEPER)
def test_what_was_left_further_inside_keeps_all_around_it_from_being_made_again(
    deeper: Callable[[], object], way: str
) -> None:
    async def deeper_async() -> None:
        deeper()

    async def in_an_async_block(call: Callable[[], Any]) -> None:
        async with transaction():
            made = call()
            if made is not None:
                await made

    ways: dict[str, Callable[[], object]] = {
        "step": transaction(action(deeper, undo=str, retry=SOON)),
        "step of an async block": lambda: asyncio.run(in_an_async_block(action(deeper, undo=str, retry=SOON))),
        "async step": lambda: asyncio.run(in_an_async_block(action(deeper_async, undo=str, retry=SOON))),
        "block": transaction(retry=SOON)(deeper),
        "async block": lambda: asyncio.run(transaction(retry=SOON)(deeper_async)()),
    }
    with pytest.raises((Boom, ConnectionError)) as caught:
        ways[way]()
    assert done == ["mail"]
    assert notes_of(caught.value).count(NOT_AGAIN) == 1


def test_what_was_left_in_a_thread_of_an_async_step_keeps_that_from_being_made_again() -> None:
    @action(undo=str, retry=SOON)
    async def outer() -> None:
        await asyncio.to_thread(inner)

    async def main() -> None:
        async with transaction():
            await outer()

    with pytest.raises(Boom) as caught:
        asyncio.run(main())
    assert (done, NOT_AGAIN in notes_of(caught.value)) == (["mail"], True)


def test_what_a_policy_makes_again_is_also_what_has_failed_inside_and_has_no_undo() -> None:
    @action(undo=str, retry=SOON)
    def outer() -> None:
        charge()

    with pytest.raises(ConnectionError), transaction():
        outer()
    assert done == ["charge"] * 3


def test_what_is_left_in_one_step_keeps_no_other_from_being_made_again() -> None:
    @action(undo=str, retry=SOON)
    def flaky() -> None:
        done.append("flaky")
        if done.count("flaky") < 3:
            raise Boom

    with transaction():
        with contextlib.suppress(ConnectionError):
            charge()
        flaky()
    assert done == ["charge", "flaky", "flaky", "flaky"]


def test_an_action_of_a_queue_is_not_tried_again_over_what_a_block_in_it_has_left() -> None:
    done.clear()
    queue = ActionQueue()
    queue.add(action(in_a_savepoint, retry=SOON, undo=str))
    with pytest.raises(Boom) as caught:
        queue.execute()
    assert done == ["mail"]
    assert NOT_AGAIN in notes_of(caught.value)
