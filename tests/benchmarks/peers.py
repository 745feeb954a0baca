"""The other libraries, each doing the same work in the way its own documentation shows.

All are optional: a peer that is not installed is left out, and the table says so. Each docstring
says what the work is made of there, and what to keep in mind when comparing it.
"""

import importlib
import logging
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from tests.benchmarks import classic, original
from tests.benchmarks.candidates import Build, Candidate, Failure, Functions, NotMeasured, Numbers, Probe


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotMeasured("not installed") from error


def zope(functions: Functions) -> Candidate:
    """``transaction``: an abort hook a step, the nearest to ``ExitStack.callback`` that it has.

    Hooks run in the order in which they were added, not in reverse. Its proper unit is a data
    manager with a two-phase commit, which costs more a step than a hook does; nor are data managers
    aborted in reverse. A hook that fails is logged.
    """
    step, undo = functions.step, functions.undo
    manager = _imported("transaction").TransactionManager(explicit=True)

    def commit(numbers: Numbers) -> None:
        with manager as txn:
            for i in numbers:
                step(i, 2)
                txn.addBeforeAbortHook(undo, (i, 2))

    def rollback(numbers: Numbers) -> None:
        try:
            with manager as txn:
                for i in numbers:
                    step(i, 2)
                    txn.addBeforeAbortHook(undo, (i, 2))
                raise Failure
        except Failure:
            pass

    def hold(numbers: Numbers, probe: Probe) -> None:
        with manager as txn:
            for i in numbers:
                step(i, 2)
                txn.addBeforeAbortHook(undo, (i, 2))
            probe()

    name = f"transaction {version('transaction')}"
    note = "undone by abort hooks, which run first in, first out"
    return Candidate(name, commit, rollback, hold, note=note, undoes_in_reverse=False)


def saga_py(functions: Functions) -> Candidate:
    """``saga_py``: all steps are added first and run by ``execute``, as in the classic queue.

    A step returns the keyword arguments of the next, so it must return a dict or None. Only a step
    that fails starts the compensation, so a rollback has one step more, which raises. The error
    that comes out is a ``SagaError`` around the original, and not an ``Exception``.
    """
    step, undo = functions.silent_step, functions.undo
    saga = _imported("saga")

    def fail() -> None:
        raise Failure

    def nothing() -> None:
        return None

    def built(numbers: Numbers) -> Any:
        builder = saga.SagaBuilder.create()
        for i in numbers:
            builder.action(partial(step, i, 2), partial(undo, i, 2))
        return builder

    def commit(numbers: Numbers) -> None:
        built(numbers).build().execute()

    def rollback(numbers: Numbers) -> None:
        try:
            built(numbers).action(fail, nothing).build().execute()
        except saga.SagaError:
            pass

    def hold(numbers: Numbers, probe: Probe) -> None:
        running = built(numbers).build()
        running.execute()
        probe()

    name = f"saga-py {version('saga_py')}"
    return Candidate(name, commit, rollback, hold, note="a rollback has one step more, which fails")


def simple_saga(functions: Functions) -> Candidate:
    """``simple-saga``: its ``SyncSaga``; the step's result is the undo's first argument.

    A step that raises is not itself undone. It logs twice a step: the level is left at the default,
    where that costs a check, and its error at the start of each rollback goes to a null handler.
    """
    step, undo = functions.step, functions.undo
    saga = _imported("simple_saga")
    logger = logging.getLogger("simple_saga")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())

    def commit(numbers: Numbers) -> None:
        with saga.SyncSaga() as running:
            for i in numbers:
                running.step(step, undo, action_args=(i, 2), compensation_args=(2,))

    def rollback(numbers: Numbers) -> None:
        try:
            with saga.SyncSaga() as running:
                for i in numbers:
                    running.step(step, undo, action_args=(i, 2), compensation_args=(2,))
                raise Failure
        except Failure:
            pass

    def hold(numbers: Numbers, probe: Probe) -> None:
        with saga.SyncSaga() as running:
            for i in numbers:
                running.step(step, undo, action_args=(i, 2), compensation_args=(2,))
            probe()

    return Candidate(f"simple-saga {version('simple-saga')}", commit, rollback, hold)


def agent_tx(functions: Functions) -> Candidate:
    """``agent-tx``: written in Rust; an undo is a callback without arguments.

    The first undo that fails stops the others. An engine keeps what was committed for as long as it
    lives, so each block has an engine of its own, as each has its own ``ExitStack``.
    """
    step, undo = functions.step, functions.undo
    tx = _imported("agent_tx")

    def commit(numbers: Numbers) -> None:
        engine = tx.AgentTx()
        with engine.transaction():
            for i in numbers:
                step(i, 2)
                engine.register_undo(partial(undo, i, 2))

    def rollback(numbers: Numbers) -> None:
        engine = tx.AgentTx()
        try:
            with engine.transaction():
                for i in numbers:
                    step(i, 2)
                    engine.register_undo(partial(undo, i, 2))
                raise Failure
        except Failure:
            pass

    def hold(numbers: Numbers, probe: Probe) -> None:
        engine = tx.AgentTx()
        with engine.transaction():
            for i in numbers:
                step(i, 2)
                engine.register_undo(partial(undo, i, 2))
            probe()

    name = f"agent-tx {version('agent-tx')}"
    note = "of its memory only Python objects are seen"
    return Candidate(name, commit, rollback, hold, note=note)


PEERS: Mapping[str, Build] = {
    "actionqueue": classic.ours,
    f"actionqueues-{original.VERSION}": original.queue,
    "transaction": zope,
    "saga-py": saga_py,
    "simple-saga": simple_saga,
    "agent-tx": agent_tx,
}
