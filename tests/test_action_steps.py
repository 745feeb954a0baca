"""What a step knows, `current_step()`, and the steps that a rollback has to leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import NoTransaction, Step, StepState, TransactionClosed, action, current_step, transaction

from .core.test_threads import in_thread


class Boom(Exception):
    """What the blocks of these tests are left by."""


def test_a_step_tells_what_was_called_with_what() -> None:
    seen: list[Step[Any]] = []

    @action
    def send(to: str, /, subject: str = "hi", *copies: str, urgent: bool = False, **headers: str) -> str:
        seen.append(current_step())
        return "sent"

    with transaction():
        send("ada", "hello", "bob", urgent=True, to="x")
        send("ada")
    first, second = seen
    assert first.name == "send"
    assert first.args == ("ada", "hello", "bob")
    assert first.kwargs == {"urgent": True, "to": "x"}
    assert first.arguments == {
        "to": "ada",
        "subject": "hello",
        "copies": ("bob",),
        "urgent": True,
        "headers": {"to": "x"},
    }
    assert (second.args, second.kwargs) == (("ada", "hi"), {"urgent": False})
    assert (first.state, first.result, first.error, first.attempts) == (StepState.DONE, "sent", None, 1)


def test_while_its_body_runs_a_step_is_running_and_has_no_result() -> None:
    @action
    def look() -> tuple[str, object, bool, object, int]:
        step = current_step()
        return str(step.state), step.result, step.has_result, step.error, step.attempts

    with transaction():
        assert look() == ("running", None, False, None, 1)


def test_the_keys_of_a_step_are_stable_and_those_of_two_calls_differ() -> None:
    keys: list[tuple[str, str]] = []

    @action(retry=lambda attempt, error: 0 if attempt < 3 else None)
    def charge() -> None:
        step = current_step()
        keys.append((step.key, step.undo_key))
        raise Boom

    @charge.rollback
    def refund(step: Step[None]) -> None:
        keys.append((step.key, step.undo_key))

    for _ in range(2):
        with pytest.raises(Boom), transaction():
            charge()
    assert len(keys) == 8
    assert len(set(keys)) == 2
    assert keys[:4] == [keys[0]] * 4
    assert len({key for pair in keys for key in pair}) == 4
    assert all(key and isinstance(key, str) for pair in keys for key in pair)


def test_what_a_body_saves_is_there_for_its_handler_also_when_it_has_failed() -> None:
    saved: list[dict[str, Any]] = []

    @action
    def upload() -> None:
        current_step().save(bucket="b", part=1)
        current_step().save(part=2)
        raise Boom

    @upload.rollback
    def remove(step: Step[None]) -> None:
        saved.append(step.saved)

    with pytest.raises(Boom), transaction():
        upload()
    assert saved == [{"bucket": "b", "part": 2}]


def test_a_step_counts_its_attempts_and_keeps_the_last_error_for_its_handler() -> None:
    seen: list[tuple[int, object, str]] = []

    @action(retry=lambda attempt, error: 0 if attempt < 3 else None)
    def fail() -> None:
        raise Boom(current_step().attempts)

    @fail.rollback
    def unfail(step: Step[None], error: BaseException) -> None:
        assert step.error is error
        seen.append((step.attempts, error.args, str(step.state)))

    with pytest.raises(Boom) as caught, transaction():
        fail()
    assert seen == [(3, (3,), "failed")]
    assert caught.value.args == (3,)


def test_the_current_step_is_the_innermost_one_and_the_outer_one_again_afterwards() -> None:
    names: list[str] = []

    @action
    def inner() -> None:
        names.append(current_step().name)

    @action
    def outer() -> None:
        names.append(current_step().name)
        inner()
        names.append(current_step().name)
        with transaction("savepoint"):
            names.append(current_step().name)
            inner()

    with transaction():
        outer()
    assert names == ["outer", "inner", "outer", "outer", "inner"]


def test_in_a_handler_the_current_step_is_the_one_that_is_being_undone() -> None:
    steps: list[Step[Any]] = []

    @action
    def first() -> None:
        steps.append(current_step())

    @action
    def second() -> None:
        steps.append(current_step())

    @first.rollback
    def unfirst() -> None:
        steps.append(current_step())

    @second.rollback
    def unsecond(step: Step[None]) -> None:
        assert step is current_step()
        steps.append(step)

    with pytest.raises(Boom), transaction():
        first()
        second()
        raise Boom
    made = steps[:2]
    assert steps[2:] == made[::-1]
    assert {str(step.state) for step in made} == {"undone"}


@pytest.mark.parametrize("call", [current_step, action(current_step)], ids=["bare", "in an action"])
def test_outside_any_block_there_is_no_current_step(call: Callable[[], object]) -> None:
    with pytest.raises(NoTransaction) as caught:
        call()
    assert str(caught.value) == (
        "current_step() was called outside any step; call it in the body or the rollback handler of an action that is "
        "called inside `with transaction():`"
    )
    assert caught.value.where == "step"


def test_in_a_block_but_in_no_step_the_message_does_not_deny_the_block() -> None:
    with transaction(), pytest.raises(NoTransaction) as caught:
        current_step()
    assert "current_step()" in str(caught.value)
    assert "outside any transaction" not in str(caught.value)


# ---- irreversible


def test_a_rollback_reports_the_steps_that_it_had_to_leave() -> None:
    @action(irreversible=True)
    def send() -> None: ...

    @action
    def bare() -> None: ...

    @action
    def good() -> None: ...

    @good.rollback
    def ungood() -> None: ...

    with transaction() as q:
        send()
        good()
        bare()
        q.rollback()
    assert [(step.name, step.state) for step in q.report.not_undone] == [("bare", "not undone"), ("send", "not undone")]
    assert q.report.undone == ["good"]
    assert q.report.left == q.report.not_undone
    assert (q.state, q.report.failed, q.report.clean) == ("rolled back", False, False)


def test_an_irreversible_action_cannot_have_a_handler() -> None:
    def plain() -> None: ...

    send = action(irreversible=True)(plain)
    with pytest.raises(TypeError) as caught:
        send.rollback(lambda: None)
    assert str(caught.value) == "plain is declared irreversible=True, so it can have no rollback handler"


# ---- read-only


def test_a_read_only_step_is_neither_told_nor_undone(caplog: pytest.LogCaptureFixture) -> None:
    @action(read_only=True)
    def look() -> int:
        return 3

    with pytest.raises(LookupError) as caught, transaction() as q:
        assert look() == 3
        raise LookupError
    assert (q.report.left, q.report.undone, q.report.clean) == ([], [], True)
    assert (caplog.records, getattr(caught.value, "__notes__", [])) == ([], [])


def test_a_read_only_action_cannot_have_a_handler() -> None:
    look = action(read_only=True)(lambda: None)
    with pytest.raises(TypeError, match="is declared read_only=True, so it can have no rollback handler$"):
        look.rollback(lambda: None)


def test_an_action_called_after_the_rollback_does_not_run() -> None:
    ran: list[str] = []

    @action
    def late() -> None:
        ran.append("late")

    with transaction("sign-up") as q:
        q.rollback()
        with pytest.raises(TransactionClosed) as caught:
            late()
    assert ran == []
    assert str(caught.value) == (
        "late came too late: the transaction 'sign-up' was rolled back by q.rollback(), and nothing was run; call it "
        "before that, or in a transaction of its own"
    )


@pytest.mark.parametrize("irreversible", ["yes", 1, None])
def test_an_option_that_is_to_be_true_or_false_takes_nothing_else(irreversible: Any) -> None:
    with pytest.raises(TypeError, match=rf"^@action\(irreversible=...\) must be True or False, not {irreversible!r}$"):
        action(irreversible=irreversible)


def test_a_thread_beside_the_steps_of_a_block_has_no_current_step() -> None:
    raised: list[BaseException | None] = []

    @action
    def outer() -> None:
        raised.append(in_thread(current_step))

    with transaction():
        outer()
        raised.append(in_thread(current_step))
    assert [type(error) for error in raised] == [NoTransaction, NoTransaction]
