"""What the tests of the Temporal adapter run: steps whose effects are lines of a file outside Temporal.

The file is the trail.  A line says what was done, and the key of the step: ``did book KEY``, ``undid book KEY``.  A
test can hold a step back, by a file beside the trail, until it removes that: see `Gate`.

Imported by tests, by the processes of workers, and, again, by Temporal's sandbox in each of them.
"""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow

from actionqueues import Retry, Step, action, current_step, transaction
from actionqueues.engines.temporal import TemporalEngine


class CardDeclined(Exception):
    """An exception with a constructor of its own."""

    def __init__(self, card: str, *, amount: int) -> None:
        super().__init__(f"{card} declined for {amount}")
        self.card, self.amount = card, amount


class Unencodable:
    """A result that no JSON can carry."""


def write(trail: str, line: str) -> None:
    """Add a line, whole, however many processes do."""
    file = os.open(trail, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


def lines(trail: str) -> list[str]:
    """What has happened so far."""
    path = Path(trail)
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


class Gate:
    """Holds back "before charge", "charge" (after its effect), "before undo charge", or "undo charge".

    As long as the file is there, whoever comes to it waits, and leaves the id of its process.
    """

    def __init__(self, trail: str, what: str) -> None:
        self.file = Path(f"{trail}.{what.replace(' ', '-').replace('/', '-')}")
        self.held = self.file.with_suffix(f"{self.file.suffix}.held")

    def close(self) -> None:
        """Hold back what comes."""
        self.file.touch()

    def open(self) -> None:
        """Let it go on."""
        self.file.unlink()

    async def pass_through(self) -> None:
        """Wait here, if it is closed."""
        if self.file.exists():
            write(str(self.held), str(os.getpid()))
            while self.file.exists():
                await asyncio.sleep(0.02)


async def did(trail: str, what: str) -> None:
    """Note an effect."""
    await Gate(trail, f"before {what}").pass_through()
    write(trail, f"did {what} {current_step().key}")
    await Gate(trail, what).pass_through()


async def undid(trail: str, what: str, key: str) -> None:
    """Note that it was undone."""
    await Gate(trail, f"before undo {what}").pass_through()
    write(trail, f"undid {what} {key}")
    await Gate(trail, f"undo {what}").pass_through()


# -- three steps


@action
async def book(trail: str, room: int) -> str:
    await did(trail, "book")
    return f"room {room}"


@book.rollback
async def unbook(trail: str, result: str, step: Step[str]) -> None:
    await undid(trail, "book", step.key)


@action
async def charge(trail: str, amount: int, fails: bool = False) -> dict[str, int]:
    await did(trail, "charge")
    if fails:
        raise CardDeclined("card-1", amount=amount)
    return {"amount": amount}


@charge.rollback
async def refund(trail: str, amount: int, step: Step[dict[str, int]]) -> None:
    await undid(trail, "charge", step.key)


@action
async def ship(trail: str, fails: bool = False) -> None:
    await did(trail, "ship")
    if fails:
        raise CardDeclined("card-3", amount=3)


@ship.rollback
async def unship(trail: str, step: Step[None]) -> None:
    await undid(trail, "ship", step.key)


@workflow.defn
class Order:
    """Three steps; `fails` names the one that fails, or "between", where the workflow's own code does."""

    @workflow.run
    async def run(self, trail: str, fails: str = "") -> str:
        async with transaction("order", engine=TemporalEngine(heartbeat=timedelta(seconds=2))):
            room = await book(trail, 7)
            if fails == "between":
                raise CardDeclined("nobody's", amount=0)
            paid = await charge(trail, 900, fails=fails == "charge")
            await ship(trail, fails=fails == "ship")
        return f"{room}, {paid['amount']}"


# -- steps that are no plain `async def` with an effect


@action
def note(trail: str, text: str) -> str:
    """A step that is not async, which runs in a thread of the worker."""
    name = threading.current_thread().name.partition("_")[0]
    write(trail, f"did note {current_step().key}")
    return f"{text} in {name}"


@note.rollback
def erase(trail: str, step: Step[str], cause: BaseException | None) -> None:
    write(trail, f"undid note {step.key} because of {type(cause).__name__}")


@action(retry=Retry(attempts=3, wait_initial=0.01, wait_jitter=0))
async def flaky(trail: str, fails: int) -> int:
    """Fails that many times; what it has saved counts its attempts."""
    step = current_step()
    tried: int = step.saved.get("tried", 0) + 1
    step.save(tried=tried)
    await did(trail, f"flaky/{tried}")
    if tried <= fails:
        raise ConnectionError(f"attempt {tried}")
    return tried


@flaky.rollback(retry=Retry(attempts=3, wait_initial=0.01, wait_jitter=0))
async def unflaky(trail: str, fails: int, step: Step[int]) -> None:
    """Fails that many times, too."""
    tried = sum(line.startswith("undid flaky") for line in lines(trail))
    await undid(trail, f"flaky after {step.saved['tried']}", step.key)
    if tried < fails:
        raise ConnectionError(f"undo {tried + 1}")


@action
async def make(trail: str) -> Unencodable:
    await did(trail, "make")
    return Unencodable()


@make.rollback
async def unmake(trail: str, result: Unencodable, step: Step[Unencodable]) -> None:
    await undid(trail, f"make with its {type(result).__name__}", step.key)


@action
async def insert(db: Any, trail: str) -> str:
    """Needs what only a worker has."""
    await did(trail, f"insert by {db}")
    return str(db)


@insert.rollback
async def delete(db: Any, trail: str, step: Step[str]) -> None:
    await undid(trail, f"insert by {db}", step.key)


@action
async def wait_for_a_cancel(trail: str, then: str) -> str:
    """Waits until it is cancelled, and then does what it is told, as bodies do."""
    step = current_step()
    step.save(begun=True)
    write(trail, f"did wait {step.key}")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        if then == "return":
            return "done all the same"
        if then == "fail":
            raise CardDeclined("card-4", amount=4) from None
        raise
    return "nobody has cancelled it"


@wait_for_a_cancel.rollback
async def unwait(trail: str, step: Step[str]) -> None:
    got = f" with {step.result!r}" if step.has_result else ""
    await undid(trail, f"wait, begun: {step.saved.get('begun')}{got}", step.key)


@action(read_only=True)
async def see(trail: str, what: str, times: int) -> None:
    """Waits until something has happened so many times."""
    while sum(line.startswith(what) for line in lines(trail)) < times:
        await asyncio.sleep(0.02)


@action
def wait_in_a_thread(trail: str) -> str:
    """Cannot be cancelled; asks whether somebody wants that."""
    write(trail, f"did wait {current_step().key}")
    while not activity.is_cancelled():
        threading.Event().wait(0.02)
    write(trail, f"ended wait {current_step().key}")
    return "ended"


@wait_in_a_thread.rollback
def unwait_in_a_thread(trail: str, result: str, step: Step[str]) -> None:
    write(trail, f"undid wait, {result} {step.key}")


@action
async def mail(trail: str) -> None:
    """Has no undo."""
    await did(trail, "mail")


@action(read_only=True)
async def call_another(trail: str) -> None:
    await book(trail, 1)


@action
async def nest(trail: str, independent: bool) -> str:
    """Opens a block of its own in its body."""
    async with transaction("inner", independent=independent):
        await book(trail, 1)
    return "nested"


@nest.rollback
async def unnest(trail: str, step: Step[str]) -> None:
    await undid(trail, "nest", step.key)


@action
async def fill(trail: str) -> str:
    """Returns more than a server of Temporal takes."""
    await did(trail, "fill")
    return "x" * 5_000_000


@fill.rollback
async def empty(trail: str, result: str, step: Step[str]) -> None:
    await undid(trail, f"fill with {'all' if len(result) == 5_000_000 else 'a part'} of it", step.key)


def by_hand(trail: str, text: str) -> None:
    """A plain function, which a worker finds by its name."""
    write(trail, f"{text} by hand")


@workflow.defn
class Several:
    """One block of each of these; `case` says which."""

    @workflow.run
    async def run(self, trail: str, case: str) -> Any:
        return await getattr(self, case)(trail)

    async def sync_steps(self, trail: str) -> str:
        async with transaction("notes", engine=TemporalEngine()) as q:
            q.add(note, trail, "hello")
            await q.execute()
            step = q.add(note, trail, "twice")
            await q.execute()
        return step.result

    async def sync_steps_undone(self, trail: str) -> None:
        async with transaction("notes", engine=TemporalEngine()) as q:
            q.add(note, trail, "hello")
            await q.execute()
            raise CardDeclined("nobody's", amount=0)

    async def caught(self, trail: str) -> list[Any]:
        async with transaction("order", engine=TemporalEngine()) as q:
            try:
                await charge(trail, 900, fails=True)
            except CardDeclined as declined:
                told = [type(declined).__name__, declined.card, declined.amount, str(declined)]
            await charge(trail, 100)
        return [*told, q.report.state]

    async def retried(self, trail: str) -> int:
        async with transaction("retried", engine=TemporalEngine()):
            return await flaky(trail, 2)

    async def saved_by_a_dead_worker(self, trail: str) -> int:
        async with transaction("retried", engine=TemporalEngine(heartbeat=timedelta(seconds=2))):
            return await flaky(trail, 0)

    async def undo_retried(self, trail: str) -> None:
        async with transaction("retried", engine=TemporalEngine()):
            await flaky(trail, 1)
            raise CardDeclined("nobody's", amount=0)

    async def undo_fails(self, trail: str) -> list[str]:
        q = transaction("retried", engine=TemporalEngine())
        try:
            async with q:
                await book(trail, 1)
                await flaky(trail, 5)
        except ConnectionError as error:
            return [str(error), q.report.state, *error.__notes__]
        return []

    async def unencodable(self, trail: str) -> list[str]:
        q = transaction("make", engine=TemporalEngine())
        try:
            async with q:
                await book(trail, 1)
                await make(trail)
        except TypeError as error:
            return [type(error).__name__, q.report.state, *getattr(error, "__notes__", [])]
        return []

    async def resources(self, trail: str) -> str:
        async with transaction("db", engine=TemporalEngine()):
            await insert(None, trail)
            raise CardDeclined("nobody's", amount=0)

    async def beside(self, trail: str) -> None:
        async with transaction("beside", engine=TemporalEngine()):
            await asyncio.gather(
                book(trail, 1), wait_for_a_cancel(trail, "raise"), wait_for_a_cancel(trail, "return"), self.late(trail)
            )

    async def undone_concurrently(self, trail: str) -> None:
        async with transaction("beside", engine=TemporalEngine(), undo_concurrently=True):
            await asyncio.gather(book(trail, 1), charge(trail, 2), ship(trail))
            await book(trail, 2)
            raise CardDeclined("nobody's", amount=0)

    async def late(self, trail: str) -> None:
        """Fails once the others are running."""
        await see(trail, "did wait", 2)
        await charge(trail, 1, fails=True)

    async def savepoints(self, trail: str) -> str:
        async with transaction("outer", engine=TemporalEngine()) as q:
            await book(trail, 1)
            try:
                async with transaction("inner"):
                    await charge(trail, 2)
                    await ship(trail, fails=True)
            except CardDeclined:
                pass
            async with transaction("other"):
                await charge(trail, 3)
            mark = q.mark()
            await ship(trail)
            await q.rollback(to=mark)
        return q.report.state

    async def hooks(self, trail: str) -> str:
        async with transaction("hooks", engine=TemporalEngine()) as q:
            await book(trail, 1)
            q.on_commit(by_hand, trail, "told")
            q.add(by_hand, trail, "added")
        return q.report.state

    async def by_hand_undone(self, trail: str) -> None:
        async with transaction("by hand", engine=TemporalEngine()) as q:
            q.on_rollback(by_hand, trail, "undone")
            q.on_commit(by_hand, trail, "told")
            raise CardDeclined("nobody's", amount=0)

    async def explicit(self, trail: str) -> str:
        async with transaction("explicit", engine=TemporalEngine()) as q:
            await book(trail, 1)
            await q.rollback()
        return q.report.state

    async def two_blocks(self, trail: str) -> None:
        for _ in range(2):
            async with transaction("one of two", engine=TemporalEngine()):
                await book(trail, 1)

    async def two_blocks_at_once(self, trail: str) -> None:
        await asyncio.gather(self.two_blocks(trail), self.two_blocks(trail))

    async def timed_out(self, trail: str) -> str:
        try:
            async with asyncio.timeout(3):
                await self.waiting(trail)
        except TimeoutError:
            return "timed out"
        return "in time"

    async def timed_out_in_the_block(self, trail: str) -> str:
        async with transaction("waiting", engine=TemporalEngine()):
            await book(trail, 1)
            try:
                async with asyncio.timeout(3):
                    await wait_for_a_cancel(trail, "return")
            except TimeoutError:
                await charge(trail, 5)
        return "timed out inside"

    async def waiting(self, trail: str, then: str = "raise") -> str:
        async with transaction("waiting", engine=TemporalEngine()):
            await book(trail, 1)
            return await wait_for_a_cancel(trail, then)

    async def waiting_returns(self, trail: str) -> str:
        return await self.waiting(trail, "return")

    async def waiting_fails(self, trail: str) -> str:
        return await self.waiting(trail, "fail")

    async def waiting_in_a_thread(self, trail: str) -> str:
        async with transaction("waiting", engine=TemporalEngine()) as q:
            await book(trail, 1)
            step = q.add(wait_in_a_thread, trail)
        return step.result

    async def nobody_there(self, trail: str) -> None:
        """Its step is given to no worker."""
        async with transaction("nobody", engine=TemporalEngine(task_queue="nobody's")):
            await call_another(trail)

    async def sleeping(self, trail: str) -> None:
        async with transaction("sleeping", engine=TemporalEngine()):
            await book(trail, 1)
            await asyncio.sleep(3600)

    async def locally_cancelled(self, trail: str) -> str:
        """A task is cancelled, twice, and not the workflow."""
        task = asyncio.create_task(self.waiting(trail))
        async with transaction("looking", engine=TemporalEngine()):
            await see(trail, "did wait", 1)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled"
        return "not cancelled"

    async def unsteady(self, trail: str) -> None:
        """Fails as long as a file is there, which no execution of a workflow should ask for."""
        async with transaction("unsteady", engine=TemporalEngine()):
            await book(trail, 1)
            await charge(trail, 2)
            if Path(f"{trail}.fails").exists():
                raise CardDeclined("nobody's", amount=0)
            await ship(trail)

    async def left(self, trail: str) -> None:
        async with transaction("left", engine=TemporalEngine()):
            await mail(trail)
            raise CardDeclined("nobody's", amount=0)

    async def too_long(self, trail: str) -> None:
        async with transaction("too long", engine=TemporalEngine()):
            await fill(trail)

    async def too_long_to_be_given(self, trail: str) -> None:
        async with transaction("too long", engine=TemporalEngine()):
            await book(trail, "1" * 2_000_000)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - a long one

    async def nested(self, trail: str) -> str:
        async with transaction("outer", engine=TemporalEngine()):
            return await nest(trail, False)

    async def nested_independently(self, trail: str) -> str:
        async with transaction("outer", engine=TemporalEngine()):
            return await nest(trail, True)

    async def calls_another(self, trail: str) -> None:
        async with transaction("outer", engine=TemporalEngine()):
            await call_another(trail)

    async def continued(self, trail: str) -> str:
        async with transaction("continued", engine=TemporalEngine()):
            await book(trail, 1)
            if len(lines(trail)) == 1:
                workflow.continue_as_new(args=[trail, "continued"])
        return "done"

    async def with_details(self, trail: str) -> None:
        workflow.set_current_details("for Ada")
        for name in ("one", "two"):
            async with transaction(name, engine=TemporalEngine()):
                await book(trail, 1)

    # -- refused

    async def sync_block(self, trail: str) -> None:
        with transaction("sync", engine=TemporalEngine()):
            pass

    async def sync_call(self, trail: str) -> str:
        async with transaction("notes", engine=TemporalEngine()):
            await book(trail, 1)
            return note(trail, "hello")

    async def no_plain_argument(self, trail: str) -> None:
        async with transaction("order", engine=TemporalEngine()):
            await book(trail, Unencodable())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    async def local_function(self, trail: str) -> None:
        async with transaction("order", engine=TemporalEngine()) as q:
            await book(trail, 1)
            q.on_commit(lambda: None)

    async def restricted(self, trail: str) -> str:
        """Asks for what the sandbox refuses."""
        async with transaction("restricted", engine=TemporalEngine()):
            await book(trail, 1)
            threading.get_ident()
        return "mended"

    async def mistake(self, trail: str) -> None:
        """An exception that has nothing to do with a block."""
        async with transaction("order", engine=TemporalEngine()):
            await book(trail, 1)
        raise ValueError("a mistake after it")


@workflow.defn
class Told:
    """A workflow that is told what to do by a signal, whose handler has a block."""

    def __init__(self) -> None:
        self.over = False

    @workflow.run
    async def run(self, trail: str) -> str:
        await workflow.wait_condition(lambda: self.over)
        return "told"

    @workflow.signal
    async def order(self, trail: str) -> None:
        try:
            async with transaction("order", engine=TemporalEngine()):
                await book(trail, 1)
                await charge(trail, 2, fails=True)
        except CardDeclined:
            self.over = True

    @workflow.update
    async def change(self, trail: str) -> None:
        async with transaction("change", engine=TemporalEngine()):
            await book(trail, 1)
            await charge(trail, 2, fails=True)


@workflow.defn
class Bounded:
    """Its engine has settings of its own."""

    @workflow.run
    async def run(self, trail: str) -> str:
        engine = TemporalEngine(start_to_close=timedelta(seconds=1), heartbeat=timedelta(seconds=2))
        async with transaction("bounded", engine=engine):
            return await book(trail, 1)


WORKFLOWS = (Order, Several, Told, Bounded)
