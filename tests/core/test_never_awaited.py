"""An async step that is called and never awaited is in the report, where that costs nothing to know."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from actionqueues import AsyncTransaction, Report, TransactionClosed, action, transaction
from tests.async_library import Debug, Library, Trio, in_trio
from tests.async_stage import Boom

LIBRARIES = [pytest.param(Debug(), id="debug"), *in_trio.args[1], pytest.param(Library(), id="journal")]
aware = pytest.mark.parametrize("library", LIBRARIES)

forgotten: list[Any] = []


@action(read_only=True)
async def charge(amount: int) -> int:
    """Charge it."""
    return amount


@contextmanager
def forgetting() -> Iterator[None]:
    """Python warns of each coroutine that was never awaited, once that is gone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
        forgotten.clear()
        gc.collect()


def report_of(library: Library, path: Path, body: Callable[[AsyncTransaction], Coroutine[Any, Any, object]]) -> Report:
    """What is told once a block with this body has ended, whatever has ended it."""
    reports: list[Report] = []

    async def main() -> None:
        journal = None if isinstance(library, Debug | Trio) else path / "actions.db"
        async with transaction("order", journal=journal) as q:
            reports.append(q.report)
            await body(q)

    with forgetting():
        try:
            library.run(main)
        except Boom:
            pass
    return reports[0]


@aware
@pytest.mark.parametrize("fails", [False, True])
def test_it_is_listed_however_the_block_ends(library: Library, fails: bool, tmp_path: Path) -> None:
    async def body(_: Any) -> None:
        assert await charge(1) == 1
        forgotten.append(charge(2))
        charge(3)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
        if fails:
            raise Boom

    report = report_of(library, tmp_path, body)
    assert report.never_awaited == ["charge", "charge"]
    assert report.summary == f"order {'rolled back' if fails else 'committed'}: never awaited: charge, charge"
    assert report.as_dict()["never_awaited"] == ["charge", "charge"]
    assert report.clean  # nothing of them has run


@aware
def test_what_is_awaited_in_any_way_is_not(library: Library, tmp_path: Path) -> None:
    async def body(q: AsyncTransaction) -> None:
        later = charge(1)
        q.add(charge, 2)
        async with library.group() as start:
            start(lambda: charge(3))
        await later

    assert report_of(library, tmp_path, body).never_awaited == []


@aware
def test_a_savepoint_lists_its_own_and_the_block_around_it_lists_all(library: Library, tmp_path: Path) -> None:
    inner: list[list[str]] = []

    async def body(q: AsyncTransaction) -> None:
        forgotten.append(charge(1))
        for fails in (False, True):
            try:
                async with q.savepoint() as part:
                    forgotten.append(charge(2))
                    if fails:
                        raise Boom
            except Boom:
                pass
            inner.append(part.report.never_awaited)

    assert report_of(library, tmp_path, body).never_awaited == ["charge"] * 3
    assert inner == [["charge"], ["charge"]]


def test_one_that_is_awaited_after_the_block_comes_too_late(tmp_path: Path) -> None:
    async def main() -> None:
        async with transaction("order") as q:
            late = charge(1)
        assert q.report.never_awaited == ["charge"]
        with pytest.raises(TransactionClosed, match="charge came too late"):
            await late

    asyncio.run(main(), debug=True)


def test_where_counting_would_cost_python_alone_warns() -> None:
    async def main() -> Report:
        async with transaction() as q:
            charge(1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
        return q.report

    with pytest.warns(RuntimeWarning, match="coroutine 'charge' was never awaited"):
        report = asyncio.run(main(), debug=False)
    assert report.never_awaited == []
