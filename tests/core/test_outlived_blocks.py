"""Code that has outlived the block that its context was copied in: no part of that block, and free to open its own."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context

import pytest

from actionqueues import TransactionClosed, current_transaction, transaction

from .test_threads import Trail, fail, put


@pytest.fixture
def trail() -> Trail:
    return []


def committed(trail: Trail) -> Context:
    """A context that was copied in a block that has committed since."""
    with transaction("gone"):
        put(trail, "a")
        return copy_context()


def rolled_back(trail: Trail) -> Context:
    """The same of one that has been rolled back."""
    with transaction("gone") as q:
        put(trail, "a")
        context = copy_context()
        q.rollback()
    return context


def in_savepoint(trail: Trail) -> Context:
    """The same in a savepoint, whose outer block has ended too."""
    with transaction("gone"), transaction("inner"):
        put(trail, "a")
        return copy_context()


def in_savepoint_by_name(trail: Trail) -> Context:
    """The same, by name."""
    with transaction("gone") as q, q.savepoint():
        put(trail, "a")
        return copy_context()


def in_independent(trail: Trail) -> Context:
    """The same in a block that shared nothing with the one around it."""
    with transaction("gone"), transaction("inner", independent=True):
        put(trail, "a")
        return copy_context()


outlived = pytest.mark.parametrize(
    "copied", [committed, rolled_back, in_savepoint, in_savepoint_by_name, in_independent]
)
Copied = Callable[[Trail], Context]


@outlived
def test_a_block_opened_by_code_that_has_outlived_another_is_outermost_and_undone_if_it_fails(
    copied: Copied, trail: Trail
) -> None:
    context = copied(trail)
    trail.clear()

    def later() -> None:
        with pytest.raises(LookupError), transaction("later", outermost=True) as q:
            put(trail, "b")
            with transaction():
                put(trail, "c")
            with pytest.raises(LookupError):
                fail(trail, "d")
            assert current_transaction() is q
            raise LookupError
        assert q.state == "rolled back"

    context.run(later)
    assert trail == ["do b", "do c", "do d", "undo d", "undo c", "undo b"]


@outlived
def test_a_block_opened_by_code_that_has_outlived_another_commits_by_itself(copied: Copied, trail: Trail) -> None:
    context = copied(trail)
    trail.clear()

    def later() -> None:
        with transaction("later") as q:
            put(trail, "b")
            q.on_commit(trail.append, "hook")
        assert q.state == "committed"

    context.run(later)
    assert trail == ["do b", "hook"]


@outlived
def test_a_step_of_such_code_outside_a_block_of_its_own_is_refused(copied: Copied, trail: Trail) -> None:
    context = copied(trail)
    trail.clear()
    with pytest.raises(TransactionClosed):
        context.run(put, trail, "never")
    assert trail == []


@outlived
def test_after_its_own_block_such_code_is_where_it_was(copied: Copied, trail: Trail) -> None:
    context = copied(trail)
    trail.clear()

    def later() -> None:
        with pytest.raises(LookupError), transaction():
            raise LookupError
        with pytest.raises(TransactionClosed):
            put(trail, "never")

    context.run(later)
    assert trail == []


def test_a_block_of_code_that_has_outlived_a_savepoint_is_a_savepoint_of_the_block_around_that(trail: Trail) -> None:
    with pytest.raises(LookupError), transaction("outer") as outer:
        with transaction("inner"):
            context = copy_context()

        def later() -> None:
            with transaction("later") as q:
                put(trail, "b")
            trail.append(q.state)

        context.run(later)
        assert outer.state == "open"
        raise LookupError
    assert trail == ["do b", "released", "undo b"]
