"""The mistakes of somebody who has read no more than the README: each is told, at once, with the way out."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import ActionRetryException, AsyncTransaction, action, current_transaction, transaction
from actionqueues.errors import NoTransaction


@action
def create(name: str) -> str:
    return name


def test_a_rollback_that_is_called_by_hand_says_that_it_declares_one() -> None:
    undo: Any = create.rollback
    with pytest.raises(TypeError) as caught:
        undo()
    assert str(caught.value) == (
        "create.rollback() was given no function: it declares how to undo, as @create.rollback over that; what undoes "
        "is a block that fails, or q.rollback()"
    )


def test_a_class_derived_from_the_decorator_is_told_the_name_of_the_base_class() -> None:
    base: Any = action
    with pytest.raises(TypeError) as caught:
        type("Create", (base,), {"execute": print, "rollback": print})
    assert str(caught.value) == (
        "class Create(action): action is a decorator; the base class of the classic API is action.Action, or "
        "actionqueues.Action"
    )


def test_an_async_transaction_in_a_with_block_is_refused_and_is_not_entered() -> None:
    made: Any = AsyncTransaction()
    with pytest.raises(TypeError, match="is entered by `async with`; use transaction"), made:
        raise AssertionError
    with pytest.raises(NoTransaction):
        current_transaction()
    assert made.state == "new"


def test_an_attribute_that_a_transaction_has_not_got_is_missed_under_the_name_that_users_know() -> None:
    with pytest.raises(AttributeError, match="'Transaction' object has no attribute 'commit'"), transaction() as q:
        q.commit()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def test_a_retry_in_so_many_words_is_none_and_its_exception_says_why() -> None:
    words: Any = "soon"

    @action
    def ask() -> None:
        raise ActionRetryException(words)

    with pytest.raises(ActionRetryException) as caught, transaction():
        ask()
    (note,) = caught.value.__notes__
    assert "not retried" in note
    assert "ActionRetryException asks for a wait in seconds of 'soon'" in note


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("made", [transaction("order"), AsyncTransaction()])
def test_a_transaction_cannot_be_sent_to_another_process_nor_copied(duplicate: Callable[[Any], Any], made: Any) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied: it belongs to the process and the block"):
        duplicate(made)


def test_a_savepoint_is_given_a_name_or_nothing() -> None:
    name: Any = 5
    with transaction() as q, pytest.raises(TypeError, match=r"savepoint\(\) takes a name, not 5"):
        q.savepoint(name)


def test_the_result_of_a_function_that_is_added_in_place_of_the_function_is_refused() -> None:
    with pytest.raises(TypeError) as caught, transaction() as q:
        q.add(create("a"))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert str(caught.value) == (
        "'a' cannot be added: it is neither callable nor an action object; add the function, not its result"
    )
