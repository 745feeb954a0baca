"""The tables of transitions: what they allow is legal everywhere, and everything else raises and changes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionqueues import IllegalOperation, StepState, TransactionState, aqstatemachine, transaction
from actionqueues.aqstatemachine import AQStateMachine
from actionqueues.core.definition import Definition
from actionqueues.core.states import (
    QUEUE_TRANSITIONS,
    STEP_TRANSITIONS,
    TRANSACTION_TRANSITIONS,
    UNDOABLE,
    QueueState,
    check_transition,
)
from actionqueues.core.step import Step

Table = Mapping[Any, frozenset[Any]]

# Written out once more, so that a change of a table is a change in two places.
LEGAL_STEPS = {
    "queued": "running, dropped",
    "running": "done, failed, unknown, dropped",
    "done": "undone, undo failed, conflict, not undone",
    "failed": "undone, undo failed, conflict, not undone, skipped",
    "unknown": "undone, undo failed, conflict, not undone, skipped, done, not landed",
}
LEGAL_TRANSACTIONS = {
    "new": "open",
    "open": "committed, released, rolling back",
    "rolling back": "rolled back, rolled back with failures",
}
LEGAL_QUEUES = {
    "init": "add",
    "add": "add, execute",
    "execute": "execute complete, rollback",
    "execute complete": "rollback",
    "rollback": "rollback complete",
}
TABLES: list[tuple[Table, type[StrEnum], dict[str, str]]] = [
    (STEP_TRANSITIONS, StepState, LEGAL_STEPS),
    (TRANSACTION_TRANSITIONS, TransactionState, LEGAL_TRANSACTIONS),
    (QUEUE_TRANSITIONS, QueueState, LEGAL_QUEUES),
]
PAIRS = [
    pytest.param(table, state, to, to in legal.get(state, "").split(", "), id=f"{kind.__name__}: {state} to {to}")
    for table, kind, legal in TABLES
    for state, to in itertools.product(kind, kind)
]


@pytest.mark.parametrize(("table", "kind", "legal"), TABLES)
def test_a_table_knows_every_state(table: Table, kind: type[StrEnum], legal: dict[str, str]) -> None:
    assert list(table) == list(kind)
    assert frozenset(itertools.chain(*table.values())) <= frozenset(kind)
    assert set(legal) <= {str(state) for state in kind}


@pytest.mark.parametrize(("table", "state", "to", "legal"), PAIRS)
def test_a_transition_is_legal_or_says_what_is(table: Table, state: StrEnum, to: StrEnum, legal: bool) -> None:
    if legal:
        check_transition(table, state, to, "it")
        return
    with pytest.raises(IllegalOperation) as caught:
        check_transition(table, state, to, "the thing")
    possible = ", ".join(sorted(table[state])) or "nothing: that is an end"
    assert str(caught.value) == f"cannot make the thing {to}: it is {state}; from there it can become {possible}"


@pytest.mark.parametrize(("state", "to"), list(itertools.product(StepState, StepState)))
def test_a_step_moves_by_the_table_only(state: StepState, to: StepState) -> None:
    step: Step[None] = Step(Definition(print).enter(), state)
    before = repr(step)
    if to in LEGAL_STEPS.get(state, "").split(", "):
        step._move(to)
        assert step.state is to
        return
    with pytest.raises(IllegalOperation, match=f"^cannot make the step print {to}: it is {state}; from there "):
        step._move(to)
    assert step.state is state
    assert repr(step) == before


@pytest.mark.parametrize(("state", "to"), list(itertools.product(TransactionState, TransactionState)))
def test_a_transaction_moves_by_the_table_only(state: TransactionState, to: TransactionState) -> None:
    block = transaction("sign-up")._block
    block.state = state
    if to in LEGAL_TRANSACTIONS.get(state, "").split(", "):
        block.move(to)
        assert block.state is to
        return
    with pytest.raises(IllegalOperation, match=f"^cannot make the transaction 'sign-up' {to}: it is {state}; "):
        block.move(to)
    assert block.state is state


@pytest.mark.parametrize("kind", [StepState, TransactionState, QueueState])
def test_a_state_equals_its_text_and_prints_as_it(kind: type[StrEnum]) -> None:
    for state in kind:
        text = state.name.lower().replace("_", " ")
        assert state == text
        assert str(state) == text


def test_what_can_be_undone_is_what_was_started_and_has_not_been_undone() -> None:
    ends = {state for state in StepState if not STEP_TRANSITIONS[state]}
    assert ends == {"undone", "undo failed", "conflict", "skipped", "not undone", "not landed", "dropped"}
    assert set(StepState) - ends - {StepState.QUEUED} == UNDOABLE


# -- the machine of the original, by its own names

METHODS = {
    "transition_to_add": ("ADD", {"INIT", "ADD"}),
    "transition_to_execute": ("EXECUTE", {"ADD"}),
    "transition_to_rollback": ("ROLLBACK", {"EXECUTE", "EXECUTE_COMPLETE"}),
    "transition_to_execute_complete": ("EXECUTE_COMPLETE", {"EXECUTE"}),
    "transition_to_rollback_complete": ("ROLLBACK_COMPLETE", {"ROLLBACK"}),
}
STATES = ["INIT", "ADD", "EXECUTE", "ROLLBACK", "EXECUTE_COMPLETE", "ROLLBACK_COMPLETE"]


def constant(name: str) -> QueueState:
    value: QueueState = getattr(aqstatemachine, f"AQStateMachine_{name}")
    return value


@pytest.mark.parametrize(("state", "method"), list(itertools.product(STATES, METHODS)))
def test_the_machine_allows_what_the_original_allowed(state: str, method: str) -> None:
    machine = AQStateMachine()
    machine.state = constant(state)
    to, legal_from = METHODS[method]
    if state in legal_from:
        getattr(machine, method)()
        assert machine.state == constant(to)
        return
    with pytest.raises(AssertionError) as caught:
        getattr(machine, method)()
    assert isinstance(caught.value, IllegalOperation)
    assert machine.state == constant(state)


def test_a_machine_starts_with_nothing_added() -> None:
    assert AQStateMachine().state == aqstatemachine.AQStateMachine_INIT


def test_the_constants_are_six_different_states() -> None:
    assert {constant(name) for name in STATES} == set(QueueState)


@pytest.mark.parametrize(
    ("state", "method", "message"),
    [
        ("INIT", "transition_to_execute_complete", "complete the execution of this queue: it is empty; call execute()"),
        ("ROLLBACK", "transition_to_rollback", "roll back this queue: it is being rolled back; a queue is rolled back"),
        ("ADD", "transition_to_rollback_complete", "complete the rollback of this queue: it has not been executed; "),
    ],
)
def test_the_machine_says_what_is_wrong(state: str, method: str, message: str) -> None:
    machine = AQStateMachine()
    machine.state = constant(state)
    with pytest.raises(IllegalOperation) as caught:
        getattr(machine, method)()
    assert str(caught.value).startswith(f"cannot {message}")


@given(st.lists(st.sampled_from(list(METHODS)), max_size=12))
def test_whatever_is_called_the_machine_goes_the_documented_way(calls: list[str]) -> None:
    machine, went = AQStateMachine(), ["INIT"]
    for method in calls:
        to, legal_from = METHODS[method]
        try:
            getattr(machine, method)()
        except AssertionError:
            assert went[-1] not in legal_from
        else:
            went.append(to)
    assert machine.state == constant(went[-1])
    assert went.count("EXECUTE") <= 1
    assert went.count("ROLLBACK") <= 1
    assert went.index("ADD") == 1 if len(went) > 1 else went == ["INIT"]
