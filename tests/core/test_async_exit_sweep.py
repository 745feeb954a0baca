"""What a program's own signal handler raises at any instruction of `Transaction.__aexit__` costs no undo (R22).

A sample of the instructions is tried each time; all of them are slow.
"""

from __future__ import annotations

import _thread
import dis
import operator
import signal
import sys
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import partial
from itertools import islice
from types import FrameType
from typing import Any

import pytest

from actionqueues import TransactionState, transaction
from tests.async_library import Library, everywhere, outcome_of
from tests.async_stage import Boom, Stage, Stop, mark, put
from tests.marks import slow_but

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no signal that is the program's own")

CODE: Any = getattr(transaction().__aexit__, "__code__")  # noqa: B009 - a method has it, which its type does not tell


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """The handler of a worker that limits the time of its jobs."""

    def raising(_signum: int, _frame: FrameType | None) -> None:
        raise Stop("time is up")

    before = signal.signal(signal.SIGUSR1, raising)
    yield
    assert signal.signal(signal.SIGUSR1, before) is raising


@pytest.fixture
def untraced() -> Iterator[None]:
    """Without coverage, which would be entered between the signal and what it is to hit."""
    tracing = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracing)


def interruptible() -> Iterator[dis.Instruction]:
    """Where the interpreter may look for signals: not from the call of a coroutine function to its `await`."""
    awaits = False
    for instruction in dis.get_instructions(CODE):
        awaits = awaits or instruction.opname == "GET_AWAITABLE"
        if not awaits:
            yield instruction
        awaits = awaits and instruction.opname != "JUMP_BACKWARD_NO_INTERRUPT"


class Traced:
    """Raises the signal when `__aexit__` comes to an instruction for the first time."""

    def __init__(self, offset: int) -> None:
        self.offset, self.met = offset, False

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is not CODE:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti == self.offset and not self.met:
            self.met = True
            signal.raise_signal(signal.SIGUSR1)
        return self

    def watch(self, leaving: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """From now on."""
        sys.settrace(self)
        return leaving


class Waiting:
    """Awaits a coroutine, on whose entry a signal waits."""

    met = True

    def __init__(self) -> None:
        self.leaving: Any = None

    def watch(self, leaving: Coroutine[Any, Any, None]) -> Waiting:
        self.leaving = leaving
        return self

    def __await__(self) -> Generator[Any, Any, None]:
        # C from the one to the other, so that the signal is not looked for in between.
        interrupt = partial(_thread.interrupt_main, signal.SIGUSR1)
        chain: list[Callable[[], object]] = [interrupt, partial(self.leaving.send, None)]
        try:
            _, request = map(operator.call, chain)
            while True:
                try:
                    value = yield request
                except BaseException as error:
                    request = self.leaving.throw(error)
                else:
                    request = self.leaving.send(value)
        except StopIteration:
            return


def left(library: Library, at: Traced | Waiting, error: BaseException | None) -> list[str]:
    """Leave a block; what is wrong after that."""
    stage, made = Stage(library), transaction()

    async def main() -> BaseException | None:
        await made.__aenter__()
        await put(stage, "a")
        mark(stage, "b")
        await put(stage, "c")
        return await outcome_of(at.watch(made.__aexit__(None if error is None else type(error), error, None)))

    tracing = sys.gettrace()
    try:
        raised = library.run(main)
    finally:
        sys.settrace(tracing)
    committed = made.state is TransactionState.COMMITTED
    wrong = [] if committed else stage.wrong()
    if committed and (error is not None or "-" in stage.told):
        wrong.append(f"it has committed: {stage.told}")
    if not committed and made.state is not TransactionState.ROLLED_BACK:
        wrong.append(f"it is {made.state}")
    if at.met and not isinstance(raised, Stop):
        wrong.append(f"what came out is {raised!r}")
    return wrong


@everywhere
@pytest.mark.parametrize("every", slow_but([7, 1], 7))
@pytest.mark.parametrize("error", [None, Boom()], ids=["well", "badly"])
def test_at_any_instruction(library: Library, error: BaseException | None, every: int) -> None:
    met, wrong = 0, list[tuple[str, list[str]]]()
    for instruction in islice(interruptible(), 0, None, every):
        at = Traced(instruction.offset)
        told = left(library, at, error)
        met += at.met
        if told:
            wrong.append((f"{instruction.offset} {instruction.opname}", told))
    assert met * every > 12
    assert wrong == []


@everywhere
@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("error", [None, Boom()], ids=["well", "badly"])
def test_on_entry_where_a_real_signal_waits(library: Library, error: BaseException | None) -> None:
    assert left(library, Waiting(), error) == []
