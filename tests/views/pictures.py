"""The pictures that the documentation shows: `python -m tests.views.pictures` draws them anew.

They are of transactions that run when they are drawn, in a time of their own, in which nobody has to wait.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from actionqueues import AsyncTransaction, Retry, RollbackConflict, action, transaction
from actionqueues.views.svg import to_svg

from .samples import T0

FOLDER: Final = Path(__file__).parents[2] / "examples" / "pictures"


class _Clock(selectors.DefaultSelector):
    """Waits for no time, but lets it pass at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0
        return super().select(timeout and 0)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that lives in the time of its clock."""

    def __init__(self) -> None:
        self.clock = _Clock()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def _run(name: str, body: Callable[[AsyncTransaction], Coroutine[Any, Any, object]]) -> dict[str, Any]:
    """What is reported of a transaction with this body."""

    async def run() -> dict[str, Any]:
        q: Any = transaction(name, trace=True)
        try:
            async with q:
                await body(q)
        except (OSError, LookupError):
            pass
        data: dict[str, Any] = q.report.as_dict()
        return data

    loop = _Loop()
    with (
        asyncio.Runner(loop_factory=lambda: loop) as runner,
        patch("actionqueues.tracing.trace.time", lambda: T0 + loop.time()),
    ):
        return runner.run(run())


def _sign_up(*, works: bool = True, greets: bool = False, read_only: bool = False) -> dict[str, Any]:
    @action
    async def create_user(email: str) -> None:
        await asyncio.sleep(0.012)

    @create_user.rollback
    async def delete_user() -> None:
        await asyncio.sleep(0.01)

    @action
    async def make_home(name: str) -> None:
        await asyncio.sleep(0.003)

    @make_home.rollback(retry=Retry(attempts=3, wait_initial=1, wait_jitter=0))
    async def remove_home() -> None:
        await asyncio.sleep(0.01)
        if read_only:
            raise OSError("disk is read-only")

    @action
    async def greet(email: str) -> None:
        await asyncio.sleep(0.18)

    @action
    async def charge(amount: int) -> None:
        await asyncio.sleep(0.4)
        if not works:
            raise ConnectionError("gateway")

    @charge.rollback
    async def refund() -> None:
        await asyncio.sleep(0.02)

    @action
    async def subscribe(plan: str) -> None:
        await asyncio.sleep(0.08)

    @subscribe.rollback
    async def unsubscribe() -> None: ...

    async def send_welcome() -> None: ...

    async def sign_up(q: AsyncTransaction) -> None:
        await create_user("ada@work.org")
        await make_home("ada")
        if greets:
            await greet("ada@work.org")
        q.add(subscribe, plan="tea")
        q.on_commit(send_welcome)
        await charge(amount=900)

    return _run("sign-up", sign_up)


def happy_path() -> dict[str, Any]:
    return _sign_up()


def rollback() -> dict[str, Any]:
    return _sign_up(works=False)


def rollback_with_failure() -> dict[str, Any]:
    return _sign_up(works=False, greets=True, read_only=True)


def retries() -> dict[str, Any]:
    """The first succeeds at its third attempt, the last gives up, and an undo takes four attempts."""
    answers = ["503", "503", "ok"]
    deletions = ["503", "503", "503", "ok"]
    policy = Retry(attempts=10, wait_initial=0.2, wait_exp_base=2, wait_max=5, wait_jitter=0)

    @action(retry=policy)
    async def download(url: str) -> None:
        await asyncio.sleep(0.3)
        if answers.pop(0) != "ok":
            raise ConnectionError("503")

    @download.rollback
    async def forget() -> None:
        await asyncio.sleep(0.1)

    @action
    async def convert(path: str) -> None:
        await asyncio.sleep(2.3)

    @convert.rollback(retry=policy)
    async def delete() -> None:
        await asyncio.sleep(0.5)
        if deletions.pop(0) != "ok":
            raise ConnectionError("503")

    @action(retry=policy)
    async def upload(path: str) -> None:
        await asyncio.sleep(6)
        raise TimeoutError("no answer in 6 s")

    @upload.rollback
    async def remove() -> None:
        await asyncio.sleep(1)

    async def publish(_q: AsyncTransaction) -> None:
        await download("https://example.com/a")
        await convert("a.png")
        await upload("a.webp")

    return _run("publish", publish)


def nested() -> dict[str, Any]:
    answers = ["503", "ok"]

    @action
    async def open_trip(city: str) -> None:
        await asyncio.sleep(0.1)

    @open_trip.rollback
    async def close_trip() -> None: ...

    @action
    async def hold(nights: int) -> None:
        await asyncio.sleep(0.1)

    @hold.rollback
    async def release() -> None:
        await asyncio.sleep(0.02)

    @action(retry=Retry(attempts=3, on=ConnectionError, wait_initial=0.5, wait_jitter=0))
    async def book(hotel: str) -> None:
        await asyncio.sleep(0.3)
        if hotel == "Grand Hotel":
            raise LookupError("no room")
        if answers.pop(0) != "ok":
            raise ConnectionError("503")

    @book.rollback
    async def cancel() -> None:
        await asyncio.sleep(0.02)

    @action
    async def pay(amount: int) -> None:
        await asyncio.sleep(0.4)

    @pay.rollback
    async def refund() -> None: ...

    async def trip(q: AsyncTransaction) -> None:
        await open_trip("Rome")
        try:
            async with q.savepoint("hotel"):
                await hold(nights=2)
                await book("Grand Hotel")
        except LookupError:
            async with q.savepoint("inn"):
                await hold(nights=2)
                await book("The Inn")
        await pay(amount=240)

    return _run("trip", trip)


def fan_out() -> dict[str, Any]:
    """The one that fails is the last to end: others would be cancelled."""

    @action
    async def plan(parts: int) -> None:
        await asyncio.sleep(0.1)

    @plan.rollback
    async def drop_plan() -> None:
        await asyncio.sleep(0.1)

    @action
    async def fetch(part: int) -> None:
        await asyncio.sleep(0.2 + part * 7 % 20 * 0.05)
        if part == 17:
            raise OSError("disk full")

    @fetch.rollback
    async def delete() -> None:
        await asyncio.sleep(0.04)

    async def mirror(_q: AsyncTransaction) -> None:
        await plan(parts=20)
        await asyncio.gather(*map(fetch, range(20)))

    return _run("mirror", mirror)


@cache
def ten_thousand() -> dict[str, Any]:
    answers = ["503", "503", "ok"]

    @action
    async def open_bucket(name: str) -> None:
        await asyncio.sleep(0.2)

    @open_bucket.rollback
    async def close_bucket() -> None:
        await asyncio.sleep(0.4)

    @action(retry=Retry(attempts=3, on=ConnectionError, wait_initial=0.1, wait_jitter=0))
    async def upload(path: str) -> None:
        await asyncio.sleep(0.009)
        if path == "09999.png":
            raise OSError("the bucket is full")
        if path == "04200.png" and answers.pop(0) != "ok":
            raise ConnectionError("503")

    @upload.rollback
    async def delete(path: str) -> None:
        await asyncio.sleep(0.008)
        if path == "07000.png":
            raise RollbackConflict("it is newer")

    async def photos(_q: AsyncTransaction) -> None:
        await open_bucket("photos")
        for number in range(1, 10_000):
            await upload(f"{number:05}.png")

    return _run("import", photos)


PICTURES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "happy-path": happy_path,
    "rollback": rollback,
    "rollback-with-failure": rollback_with_failure,
    "retries": retries,
    "nested": nested,
    "fan-out": fan_out,
    "ten-thousand": ten_thousand,
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, made in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(to_svg(made()), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
