"""Deploy two releases of a small web service; the second one is broken and must leave no trace.

Then the second one is deployed once more, by a process that is killed in the middle of it: the
journal knows what it had started, and the next process undoes that.

A deploy unpacks an archive, migrates the database, switches the `current` link, starts the new
server and asks whether it is well. Whatever goes wrong on the way, the world is as it was before,
and the old server has not stopped answering for a moment.

    python examples/deploy.py
    python examples/deploy.py --dry-run

With --dry-run it says what it would do, and what would undo that, and does nothing.

The exit status is 0 if release 1 is live, and the world after each failed deploy of release 2 is
the same as before it. Ctrl-C and SIGTERM undo what is being deployed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from actionqueues import RollbackConflict, Step, action, current_step, handle_signals, transaction
from actionqueues.journal import Journal

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
    """Plain data, so that it can be recorded: `key` is that of the step that has started it."""

    key: str
    port: int


#: All servers that this process has started, by the keys of the steps that did.
processes: dict[str, subprocess.Popen[str]] = {}


@dataclass
class Site:
    """Everything that a deploy touches."""

    root: Path
    live: Server | None = None
    database: Path = field(init=False)
    current: Path = field(init=False)

    def __post_init__(self) -> None:
        self.database = self.root / "shop.db"
        self.current = self.root / "current"

    def go_live(self, server: Server) -> None:
        """Send the traffic to `server`, and stop the one that had it until now."""
        old, self.live = self.live, server
        if old is not None:
            stop(processes[old.key])


# ---------------------------------------------------------------- the steps, each with its undo


@action
def unpack(archive: Path, releases: Path) -> Path:
    release = place_of(archive, releases, current_step())
    release.mkdir()
    with tarfile.open(archive) as tar:
        tar.extractall(release, filter="data")
    return release


@unpack.rollback
def remove_release(archive: Path, releases: Path, step: Step[Path]) -> None:
    # Its name has the key of this step in it, so it is nobody else's; whether it is there hangs on
    # where the process died, and on whether this has run before.
    release = place_of(archive, releases, step)
    if release.exists():
        shutil.rmtree(release)


@unpack.describe
def what_is_unpacked(archive: Path) -> str:
    return f"unpack {archive.name} into a folder of its own"


@action
def migrate(database: Path, release: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as db:
        version = schema_version(db)
        # Its way back goes on record: if the undo fails, it can be repeated without the release.
        down = (release / "down.sql").read_text(encoding="utf-8")
        current_step().save(before=version, down=down)
        run_script(db, (release / "up.sql").read_text(encoding="utf-8"), version + 1)


@migrate.rollback
def migrate_down(database: Path, step: Step[None]) -> None:
    with contextlib.closing(sqlite3.connect(database)) as db:
        # A script that failed has changed nothing, SQLite saw to that; so look before undoing.
        if "before" in step.saved and schema_version(db) > step.saved["before"]:
            run_script(db, step.saved["down"], step.saved["before"])


@migrate.describe
def what_is_migrated(database: Path) -> str:
    return f"run up.sql of the release on {database.name}, and down.sql to undo it"


@action
def switch_current(current: Path, release: Path) -> None:
    current_step().save(before=os.readlink(current) if current.is_symlink() else None)
    point(current, str(release))


@switch_current.rollback
def switch_back(current: Path, release: Path, step: Step[None]) -> None:
    if "before" not in step.saved:
        return  # it failed before it had looked
    before = step.saved["before"]
    now = os.readlink(current) if current.is_symlink() else None
    if now not in (before, str(release)):
        raise RollbackConflict(f"{current} points to {now}: somebody else has deployed since")
    if before is None:
        current.unlink(missing_ok=True)
    else:
        point(current, before)


@action
def start_server(app: Path, database: Path) -> Server:
    # A process cannot be recorded. It is found again by the key of the step in its command line,
    # which is there as soon as the process is.
    key = current_step().key
    process = subprocess.Popen(
        [sys.executable, str(app), str(database), key], stdout=subprocess.PIPE, text=True
    )
    processes[key] = process
    assert process.stdout is not None
    return Server(key, int(process.stdout.readline()))  # it says its port when it listens


@start_server.rollback
def stop_server(step: Step[Server]) -> None:
    process = processes.get(step.key)
    if process is not None:
        stop(process)
    else:
        stop_orphans(step.key)


class Unhealthy(Exception):
    """The server answers, but it is not well."""


@action(read_only=True)
def check_health(server: Server) -> None:
    answer_of(server)


def answer_of(server: Server) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            raise Unhealthy(f"HTTP {error.code}: {error.read().decode()}") from error


@action(read_only=True)
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# ---------------------------------------------------------------- the transaction


def journal_of(site: Site) -> Journal:
    """Every step is in this file before it runs."""
    return Journal(site.root.with_name("deploys.db"))


def deploy(site: Site, archive: Path, *, dies: bool = False, dry_run: bool = False) -> None:
    print(f"Deploying {archive.name}", flush=True)
    q = transaction(f"deploy {archive.name}", journal=journal_of(site))
    try:
        with q:
            release = q.add(unpack, archive, site.root / "releases")
            q.add(migrate, site.database, release.later)
            q.add(switch_current, site.current, release.later)
            server = q.add(start_server, site.current / "app.py", site.database)
            if dies:
                q.add(die)
            q.add(check_health, server)
            if dry_run:
                print(q.plan())
                q.rollback()
                return
            q.execute()
            q.on_commit(site.go_live, server.result)
    except Exception as error:
        print(f"  failed: {error}")
        print(f"  undone: {', '.join(q.report.undone)}")
        raise


# ---------------------------------------------------------------- small tools


def schema_version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def run_script(db: sqlite3.Connection, sql: str, version: int) -> None:
    """Run all of the script or nothing of it, and record the schema's version with it."""
    db.executescript(f"BEGIN; {sql} PRAGMA user_version = {version}; COMMIT;")


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def stop_orphans(key: str) -> None:
    """Stop what a dead process has started."""
    while pids := [int(line.split()[0]) for line in running() if line.endswith(f" {key}")]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.01)


def running() -> list[str]:
    """The ids and command lines of all processes of this machine."""
    # `-ww`: as long as they are, whatever the width of the terminal.
    done = subprocess.run(
        ["ps", "-ww", "-e", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    return [line.strip() for line in done.stdout.splitlines()]


def servers_of(site: Site) -> int:
    """How many servers of this site the machine runs, whichever process has started them."""
    return sum(
        str(site.root) in line and "app.py" in line and "deploy.py" not in line
        for line in running()
    )


def place_of(archive: Path, releases: Path, step: Step[Path]) -> Path:
    """Where a step unpacks a release: a folder that no other step has."""
    return releases / f"{archive.name.removesuffix('.tar.gz')}.{step.key}"


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
    state["servers running"] = str(servers_of(site))
    state["the live server"] = answer_of(site.live) if site.live else "none"
    return state


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--killed", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    arguments = parser.parse_args()
    killed = arguments.killed
    if killed is not None:  # the deploy that is killed, in a process of its own
        root, archive = killed
        deploy(Site(root), archive, dies=True)
    with handle_signals(), tempfile.TemporaryDirectory(prefix="deploy-") as folder:
        archives = {name: build(name, files, Path(folder)) for name, files in RELEASES.items()}
        root = Path(folder) / "site"
        (root / "releases").mkdir(parents=True)
        site = Site(root)
        try:
            if arguments.dry_run:
                deploy(site, archives["shop-1"], dry_run=True)
                return 0
            return run(site, archives)
        finally:
            # Once more, since `run` may have been interrupted before it came to that.
            journal_of(site).recover()
            journal_of(site).close()
            for process in processes.values():
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

    print()
    sys.stdout.flush()
    again = [sys.executable, __file__, "--killed", str(site.root), str(archives["shop-2"])]
    subprocess.run(again, check=False)
    left = world(site)
    for outcome in journal_of(site).recover():
        print(f"  recovered: {outcome}")
    recovered = world(site)
    report_on(site)

    changed = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    print()
    if not failed:
        print("FAILED: the health check let a broken release pass")
    elif left == before:
        print("FAILED: the killed deploy had not started anything")
    elif recovered != before:
        print("FAILED: the killed deploy has left something behind")
    elif changed:
        print(f"FAILED: left behind or changed by the failed deploy: {', '.join(changed)}")
    else:
        print(f"OK: {len(after)} things compared, all as they were before the failed deploy")
    return 0 if failed and left != before and recovered == before and not changed else 1


def report_on(site: Site) -> None:
    state = world(site)
    releases = sorted(path.stem for path in (site.root / "releases").iterdir())
    print(f"  releases on disk   {', '.join(releases)}")
    print(f"  current            {Path(state['current']).stem}")
    print(f"  schema version     {state['schema version']}")
    print(f"  servers running    {state['servers running']}")
    print(f"  the live server    answers {state['the live server']}")


if __name__ == "__main__":
    sys.exit(main())
