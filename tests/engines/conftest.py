"""The servers as fixtures: started when a test first asks, once in each process of tests, and stopped with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .servers import NoServer, PostgreSQL, Server, TemporalServer


def running(server: Server) -> Iterator[Server]:
    """The server, started; skips where there is none."""
    try:
        server.start()
    except NoServer as none:
        pytest.skip(str(none))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL for tests that leave it running."""
    yield from running(PostgreSQL())


@pytest.fixture
def database(postgresql: PostgreSQL) -> str:
    """The url of an empty database of this test's own."""
    return postgresql.new_database()


@pytest.fixture(scope="session")
def temporal_server() -> Iterator[Server]:
    """A Temporal server, in memory, for tests that leave it running, and keep apart by the names of task queues."""
    yield from running(TemporalServer())


@pytest.fixture
def own_postgresql() -> Iterator[Server]:
    """A PostgreSQL for one test, which may kill it."""
    yield from running(PostgreSQL())


@pytest.fixture
def own_temporal_server() -> Iterator[Server]:
    """A Temporal server for one test, which may kill it: its data are in a file."""
    yield from running(TemporalServer(durable=True))


def migrated(postgresql: PostgreSQL) -> str:
    """The url of a new database in which DBOS has made its tables."""
    from dbos import DBOS

    made = postgresql.template("dbos", DBOS.migrate)
    return postgresql.new_database(like=made)


@pytest.fixture
def dbos_database(postgresql: PostgreSQL) -> str:
    """The url of a database for DBOS of this test's own."""
    pytest.importorskip("dbos", reason="pip install 'actionqueues[dbos]'")
    return migrated(postgresql)


@pytest.fixture(scope="module")
def dbos_launched(postgresql: PostgreSQL) -> Iterator[str]:
    """DBOS in this process, for the tests of a module; the url of its database."""
    pytest.importorskip("dbos", reason="pip install 'actionqueues[dbos]'")
    from . import on_dbos

    url = migrated(postgresql)
    with on_dbos.launched(url, "tests"):
        yield url
