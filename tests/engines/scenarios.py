"""All scenarios of the conformance suite, whose lists are in several modules; workflows import this one."""

from __future__ import annotations

from . import conformance, conformance_of_blocks, conformance_of_ends, conformance_of_limits
from .conformance_of_limits import CARRIED, RECORDED
from .stage import SCENARIOS

__all__ = ["CARRIED", "LISTED", "RECORDED", "SCENARIOS"]

#: The modules that have them.
LISTED = {each.__name__ for each in (conformance, conformance_of_blocks, conformance_of_ends, conformance_of_limits)}
