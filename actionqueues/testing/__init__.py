"""Prove that rollbacks roll back: fault sweeps, and what tests of actions need, with pytest or without."""

from .diagnosis import Bug as Bug
from .diagnosis import Finding as Finding
from .differences import Change as Change
from .faults import Fault as Fault
from .faults import Injected as Injected
from .outcomes import Outcome as Outcome
from .outcomes import SweepError as SweepError
from .outcomes import SweepFailed as SweepFailed
from .snapshots import database as database
from .snapshots import directory as directory
from .snapshots import memory as memory
from .sweeping import Sweep as Sweep
from .sweeping import sweep as sweep
from .waiting import no_sleep as no_sleep

__all__ = [
    "Bug",
    "Change",
    "Fault",
    "Finding",
    "Injected",
    "Outcome",
    "Sweep",
    "SweepError",
    "SweepFailed",
    "database",
    "directory",
    "memory",
    "no_sleep",
    "sweep",
]
