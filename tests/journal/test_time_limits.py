"""Worker processes whose jobs have time limits, of random length, on one journal: none hangs, and nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actionqueues.journal import Journal

from .stage import ROOT

WORKER = """
import os, random, signal, sys
from tests.journal import scene
from actionqueues import transaction
from actionqueues.journal import Journal, JournalError
from pathlib import Path

scene.FOLDER = Path(sys.argv[1])
seed = int(sys.argv[2])
chance = random.Random(seed)
journal = Journal(scene.FOLDER / "actions.db", busy_timeout=60)

class Limit(TimeoutError):
    pass

def ring(signum, frame):
    raise Limit

signal.signal(signal.SIGALRM, ring)
hit = 0
for number in range(int(sys.argv[3])):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.02))
            with transaction(f"{seed}", journal=journal):
                scene.put(f"{seed}-{number}-a")
                scene.put(f"{seed}-{number}-b")
                if number % 3 == 0:
                    raise LookupError
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except (Limit, LookupError) as error:
        hit += isinstance(error, Limit)
with transaction(f"last", journal=journal):
    scene.put(f"{seed}-last")
print(hit)
"""


def work(folder: Path, processes: int, transactions: int) -> int:
    """Workers with random time limits, on one journal; returns how many limits have struck."""
    (folder / "world").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(seed), str(transactions)],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for seed in range(processes)
    ]  # fmt: skip
    hit = 0
    for each in started:
        output, errors = each.communicate(timeout=300)  # none of them waits for ever
        assert (each.returncode, errors.replace("actionqueues", "") and errors[-2000:]) == (
            0,
            errors and errors[-2000:],
        )
        hit += int(output)
    with pytest.MonkeyPatch.context() as patched, Journal(folder / "actions.db") as journal:
        from . import scene

        patched.setattr(scene, "FOLDER", folder)
        journal.recover()
        entries = journal.transactions()
        assert [entry for entry in entries if entry.ended is None] == []
        assert sum(entry.name == "last" for entry in entries) == processes
        expected = {
            (step.arguments or "").split('"')[3]
            for entry in entries
            if entry.state == "committed"
            for step in journal.show(entry.id).steps
            if step.undo is None and step.state != "never run"
        }
    assert {each.name for each in (folder / "world").iterdir()} == expected
    return hit


def test_workers_with_random_limits_neither_hang_nor_lose_their_journal(tmp_path: Path) -> None:
    assert work(tmp_path, 3, 12) > 0


@pytest.mark.slow
def test_twelve_workers_with_random_limits_neither_hang_nor_lose_their_journal(tmp_path: Path) -> None:
    assert work(tmp_path, 12, 100) > 100
