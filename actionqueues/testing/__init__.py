"""Prove that rollbacks roll back: fault sweeps, and what tests of actions need, with pytest or without.

Stands on the core, of which it uses the seam (`core/watch.py`) and little else.  Used by tests.
"""

from .bugs import Bug as Bug
from .bugs import Finding as Finding
from .differences import Change as Change
from .entry import SweepOptions as SweepOptions
from .entry import sweep as sweep
from .faults import Fault as Fault
from .faults import Injected as Injected
from .helpers import Recorder as Recorder
from .helpers import fail_at as fail_at
from .helpers import fake_step as fake_step
from .outcomes import Outcome as Outcome
from .outcomes import SweepError as SweepError
from .outcomes import SweepFailed as SweepFailed
from .snapshots import directory as directory
from .snapshots import memory as memory
from .standins import held_hooks as held_hooks
from .standins import stubbed as stubbed
from .sweeping import Sweep as Sweep
from .tables import database as database
from .waiting import no_sleep as no_sleep

__all__ = [
    "Bug",
    "Change",
    "Fault",
    "Finding",
    "Injected",
    "Outcome",
    "Recorder",
    "Sweep",
    "SweepError",
    "SweepFailed",
    "SweepOptions",
    "database",
    "directory",
    "fail_at",
    "fake_step",
    "held_hooks",
    "memory",
    "no_sleep",
    "stubbed",
    "sweep",
]
