"""Deploy two releases of a small web service; the second one is broken and must leave no trace.

A deploy unpacks an archive, migrates the database, switches the `current` link, starts the new
server and asks whether it is well. Whatever goes wrong on the way, the world is as it was before,
and the old server has not stopped answering for a moment.

    python examples/deploy.py

The exit status is 0 if release 1 is live, and the world after the failed deploy of release 2 is the
same as before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from actionqueues import RollbackConflict, Step, action, current_step, transaction

APP = """\
import pathlib, sqlite3, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

query = pathlib.Path(__file__).with_name("query.sql").read_text()

class App(BaseHTTPRequestHandler):
    def do_GET(self):
        db = sqlite3.connect(sys.argv[1])
        try:
            status, body = 200, "; ".join(str(row) for row in db.execute(query))
        except sqlite3.Error as error:
            status, body = 500, str(error)
        finally:
            db.close()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass

server = HTTPServer(("127.0.0.1", 0), App)
print(server.server_address[1], flush=True)
server.serve_forever()
"""

RELEASES = {
    "shop-1": {
        "app.py": APP,
        "up.sql": "CREATE TABLE orders (id INTEGER PRIMARY KEY, cents INTEGER);"
        " INSERT INTO orders (cents) VALUES (900), (2900);",
        "down.sql": "DROP TABLE orders;",
        "query.sql": "SELECT count(*), sum(cents) FROM orders",
    },
    "shop-2": {
        "app.py": APP,
        "up.sql": "ALTER TABLE orders ADD COLUMN currency TEXT DEFAULT 'EUR';"
        " CREATE INDEX by_currency ON orders (currency);",
        "down.sql": "DROP INDEX by_currency; ALTER TABLE orders DROP COLUMN currency;",
        # The bug of this release: the migration calls the column `currency`.
        "query.sql": "SELECT curency, sum(cents) FROM orders GROUP BY curency",
    },
}


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    port: int


@dataclass
class Site:
    """Everything that a deploy touches."""

    root: Path
    live: Server | None = None
    processes: list[subprocess.Popen[str]] = field(init=False)  # all that were ever started
    database: Path = field(init=False)
    current: Path = field(init=False)

    def __post_init__(self) -> None:
        self.database = self.root / "shop.db"
        self.current = self.root / "current"
        self.processes = []

    def go_live(self, server: Server) -> None:
        """Send the traffic to `server`, and stop the one that had it until now."""
        old, self.live = self.live, server
        if old is not None:
            stop(old.process)


# ---------------------------------------------------------------- the steps, each with its undo


@action
def unpack(archive: Path, releases: Path) -> Path:
    release = releases / archive.name.removesuffix(".tar.gz")
    release.mkdir()
    current_step().save(made=release)
    with tarfile.open(archive) as tar:
        tar.extractall(release, filter="data")
    return release


@unpack.rollback
def remove_release(step: Step[Path]) -> None:
    if "made" in step.saved:
        shutil.rmtree(step.saved["made"])


@action
def migrate(database: Path, release: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as db:
        version = schema_version(db)
        current_step().save(before=version)
        run_script(db, release / "up.sql", version + 1)


@migrate.rollback
def migrate_down(database: Path, release: Path, step: Step[None]) -> None:
    with contextlib.closing(sqlite3.connect(database)) as db:
        # A script that failed has changed nothing, SQLite saw to that; so look before undoing.
        if "before" in step.saved and schema_version(db) > step.saved["before"]:
            run_script(db, release / "down.sql", step.saved["before"])


@action
def switch_current(current: Path, release: Path) -> None:
    current_step().save(before=os.readlink(current) if current.is_symlink() else None)
    point(current, str(release))


@switch_current.rollback
def switch_back(current: Path, release: Path, step: Step[None]) -> None:
    before = step.saved.get("before")
    now = os.readlink(current) if current.is_symlink() else None
    if now not in (before, str(release)):
        raise RollbackConflict(f"{current} points to {now}: somebody else has deployed since")
    if before is None:
        current.unlink(missing_ok=True)
    else:
        point(current, before)


@action
def start_server(site: Site) -> Server:
    process = subprocess.Popen(
        [sys.executable, str(site.current / "app.py"), str(site.database)],
        stdout=subprocess.PIPE,
        text=True,
    )
    current_step().save(process=process)
    site.processes.append(process)
    assert process.stdout is not None
    return Server(process, int(process.stdout.readline()))  # it says its port when it listens


@start_server.rollback
def stop_server(step: Step[Server]) -> None:
    if "process" in step.saved:  # there is no result if it died before it said its port
        stop(step.saved["process"])


class Unhealthy(Exception):
    """The server answers, but it is not well."""


def check_health(server: Server) -> str:
    """Only reads, so there is nothing to undo: a plain function will do."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        raise Unhealthy(f"HTTP {error.code}: {error.read().decode()}") from error


# ---------------------------------------------------------------- the transaction


def deploy(site: Site, archive: Path) -> None:
    print(f"Deploying {archive.name}")
    q = transaction(f"deploy {archive.name}")
    try:
        with q:
            release = unpack(archive, site.root / "releases")
            migrate(site.database, release)
            switch_current(site.current, release)
            server = start_server(site)
            check_health(server)
            q.on_commit(site.go_live, server)
    except Exception as error:
        print(f"  failed: {error}")
        print(f"  undone: {', '.join(q.report.undone)}")
        raise


# ---------------------------------------------------------------- small tools


def schema_version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def run_script(db: sqlite3.Connection, script: Path, version: int) -> None:
    """Run all of the script or nothing of it, and record the schema's version with it."""
    sql = script.read_text(encoding="utf-8")
    db.executescript(f"BEGIN; {sql} PRAGMA user_version = {version}; COMMIT;")


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate()


def point(link: Path, target: str) -> None:
    """Make `link` point to `target` in one atomic move: there is no moment without a link."""
    fresh = link.with_name(link.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, link)


def build(name: str, files: dict[str, str], folder: Path) -> Path:
    """Pack a release, as a build server would."""
    archive = folder / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for file, text in files.items():
            info = tarfile.TarInfo(file)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return archive


def world(site: Site) -> dict[str, str]:
    """All that a deploy could have changed, for comparison."""
    state: dict[str, str] = {}
    for path in sorted(site.root.rglob("*")):
        name = str(path.relative_to(site.root))
        if path.is_symlink():
            state[name] = f"-> {os.readlink(path)}"
        elif path.is_dir():
            state[name] = "directory"
        elif path != site.database:
            state[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    with contextlib.closing(sqlite3.connect(site.database)) as db:
        state["schema and rows"] = "\n".join(db.iterdump())
        state["schema version"] = str(schema_version(db))
    state["servers running"] = str(sum(process.poll() is None for process in site.processes))
    state["the live server"] = check_health(site.live) if site.live else "none"
    return state


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="deploy-") as folder:
        archives = {name: build(name, files, Path(folder)) for name, files in RELEASES.items()}
        root = Path(folder) / "site"
        (root / "releases").mkdir(parents=True)
        site = Site(root)
        try:
            return run(site, archives)
        finally:
            for process in site.processes:
                if process.poll() is None:
                    stop(process)


def run(site: Site, archives: dict[str, Path]) -> int:
    deploy(site, archives["shop-1"])
    before = world(site)
    report_on(site)

    print()
    failed = False
    try:
        deploy(site, archives["shop-2"])
    except Unhealthy:
        failed = True
    after = world(site)
    report_on(site)

    changed = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    print()
    if not failed:
        print("FAILED: the health check let a broken release pass")
    elif changed:
        print(f"FAILED: left behind or changed by the failed deploy: {', '.join(changed)}")
    else:
        print(f"OK: {len(after)} things compared, all as they were before the failed deploy")
    return 0 if failed and not changed else 1


def report_on(site: Site) -> None:
    state = world(site)
    releases = sorted(path.name for path in (site.root / "releases").iterdir())
    print(f"  releases on disk   {', '.join(releases)}")
    print(f"  current            {state['current'].rpartition('/')[2]}")
    print(f"  schema version     {state['schema version']}")
    print(f"  servers running    {state['servers running']}")
    print(f"  the live server    answers {state['the live server']}")


if __name__ == "__main__":
    sys.exit(main())
