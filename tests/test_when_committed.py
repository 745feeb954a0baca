"""`@action(irreversible=True, when="commit")`: a call waits for the commit, and is dropped with what has made it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actionqueues import (
    ActionQueue,
    CommitHookFailed,
    NoTransaction,
    TransactionState,
    action,
    current_step,
    on_commit,
    transaction,
)

sent: list[Any] = []
decorate: Any = action  # with what type checkers refuse


@action(irreversible=True, when="commit")
def mail(to: str, text: str = "hello") -> int:
    """Send a mail."""
    if to == "nobody":
        raise ConnectionError(to)
    sent.append((to, text))
    return len(sent)


@action(irreversible=True, when="commit")
async def mail_async(to: str, *, text: str = "hello") -> int:
    await asyncio.sleep(0)
    sent.append((to, text))
    return len(sent)


@action
def fail() -> None:
    mail("of a step that fails")
    raise LookupError


@pytest.fixture(autouse=True)
def empty() -> None:
    sent.clear()


def test_it_runs_after_the_commit_in_the_order_of_calls_among_the_hooks() -> None:
    with transaction() as q:
        assert mail("a") is None
        q.on_commit(sent.append, "hook")
        assert mail(to="b", text="bye") is None
        assert sent == []
    assert sent == [("a", "hello"), "hook", ("b", "bye")]
    assert [hook.name for hook in q.report.hooks] == ["mail", "list.append", "mail"]


def test_an_async_one_is_awaited_after_the_commit() -> None:
    async def main() -> None:
        async with transaction():
            assert await mail_async("a", text="b") is None
            assert mail("c") is None
            assert sent == []
        assert sent == [("a", "b"), ("c", "hello")]

    asyncio.run(main())


def test_it_is_dropped_with_what_made_the_call() -> None:
    with pytest.raises(ZeroDivisionError), transaction() as q:
        mail("a")
        raise ZeroDivisionError
    assert (sent, q.report.clean, q.report.left) == ([], True, [])
    with transaction() as q:
        mail("stays")
        with pytest.raises(LookupError):
            fail()
        with pytest.raises(ZeroDivisionError), q.savepoint():
            mail("of a savepoint")
            raise ZeroDivisionError
        mark = q.mark()
        mail("after a mark")
        q.rollback(to=mark)
    assert sent == [("stays", "hello")]


def test_it_runs_at_once_outside_any_block_and_in_a_classic_queue_which_has_no_commit() -> None:
    assert mail("a") == 1
    assert asyncio.run(mail_async("b")) == 2
    queue = ActionQueue()
    queue.add(mail, "c")
    queue.execute()
    assert [to for to, _ in sent] == ["a", "b", "c"]


def test_a_queued_one_waits_too() -> None:
    with transaction() as q:
        step = q.add(mail, "a")
        q.execute()
        assert (step.result, sent) == (None, [])
    assert sent == [("a", "hello")]


def test_a_plan_says_that_it_waits() -> None:
    with transaction() as q:
        q.add(mail, "a")
        (planned,) = q.plan()
    assert (planned.undo, planned.reason, planned.reversible) == (None, "irreversible, waits for the commit", True)


def test_its_body_is_no_step_any_more() -> None:
    @action(irreversible=True, when="commit")
    def looks() -> None:
        with pytest.raises(NoTransaction):
            current_step()
        on_commit(sent.append, "later")
        sent.append("looked")

    with transaction():
        looks()
    assert sent == ["looked", "later"]


def test_one_that_fails_is_told_and_undoes_nothing() -> None:
    q = transaction()
    with pytest.raises(CommitHookFailed), q:
        mail("nobody")
        mail("a")
    assert (q.state, sent) == (TransactionState.COMMITTED, [("a", "hello")])


def test_a_method_and_a_required_transaction_work_as_for_other_actions() -> None:
    class Mailer:
        def __init__(self, name: str) -> None:
            self.name = name

        @action(irreversible=True, when="commit", transaction_required=True)
        def send(self, to: str) -> None:
            sent.append((self.name, to))

    mailer = Mailer("m")
    with pytest.raises(NoTransaction):
        mailer.send("a")
    with transaction():
        mailer.send("a")
    assert sent == [("m", "a")]


def test_it_says_so() -> None:
    assert repr(mail) == "<action mail(to, text), irreversible>"
    assert mail.__doc__ == "Send a mail.\n\nIt cannot be undone, so it waits for the commit."


@pytest.mark.parametrize("when", ["later", "", "Commit", 3, True])
def test_another_word_is_refused(when: Any) -> None:
    with pytest.raises(ValueError, match="^@action.when=....") as caught:
        decorate(print, irreversible=True, when=when)
    assert str(caught.value) == (
        f"@action(when=...) must be 'commit', or not be given: a call runs at once then; not {when!r}"
    )


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"irreversible": False}])
def test_what_can_be_undone_need_not_wait(options: Any) -> None:
    with pytest.raises(TypeError) as caught:
        decorate(print, when="commit", **options)
    assert str(caught.value) == (
        "@action(when='commit') is for what cannot be undone: say so, by irreversible=True; what can be undone need "
        "not wait, and any function is called after the commit by q.on_commit(fn, ...)"
    )


@pytest.mark.parametrize(("option", "value"), [("retry", pow), ("timeout", 3.0), ("undo", abs)])
def test_what_only_a_step_has_is_refused(option: str, value: Any) -> None:
    async def body() -> None: ...

    options: Any = {option: value}
    with pytest.raises(TypeError) as caught:
        decorate(body, irreversible=True, when="commit", **options)
    assert str(caught.value) == (
        f"@action(when='commit') takes no {option}=: its body runs after the commit, when it is no step any more; put "
        "that into the body"
    )


def test_it_can_have_no_rollback_handler() -> None:
    with pytest.raises(TypeError, match="mail is declared irreversible=True, so it can have no rollback handler"):
        mail.rollback(print)
