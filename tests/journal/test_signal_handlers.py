"""A signal handler of the program's own, such as a time limit, costs at most the transaction that it hits.

It raises at every line, and before and after every call, of the package's code.  Afterwards this process goes on,
others are not locked out, and what was hit has been undone, or is recovered.  Some of the moments each time; more are
slow; all of them, by `SWEEP_EVERY=1` in the environment, take half an hour.
"""

from __future__ import annotations

import os

import pytest

from actionqueues.journal import Journal
from tests.core.sweeping import CallTracer, Tracer

from . import ringing
from .ringing import Limit, LineAlarm, Scenario, Stop
from .stage import sample

# What is raised between a call, and the instruction that keeps what it has returned, loses that.
SCENARIOS = [
    ringing.commits,
    ringing.commits_with_a_hook,
    ringing.closes,
    ringing.fails,
    ringing.fails_inside,
    ringing.recovers,
    ringing.commits_beside_a_thread,
    ringing.commits_async,
    ringing.fails_async,
    ringing.recovers_async,
]


@ringing.lost_coroutines
@ringing.lost_connections
@pytest.mark.parametrize("kind", [LineAlarm, CallTracer])
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("error", [Limit, Stop])
def test_a_handler_that_raises_costs_at_most_the_transaction_that_it_hits(
    error: type[BaseException], scenario: Scenario, kind: type[Tracer], journal: Journal
) -> None:
    count = ringing.moments(scenario, journal, kind)
    assert count > 200
    places = sample(count, 8, seed=count)
    assert ringing.swept(scenario, journal, places, kind, error) == []


@pytest.mark.slow
@ringing.lost_coroutines
@ringing.lost_connections
@pytest.mark.parametrize("kind", [LineAlarm, CallTracer])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_handler_that_raises_at_any_moment_costs_at_most_the_transaction_that_it_hits(
    scenario: Scenario, kind: type[Tracer], journal: Journal
) -> None:
    count = ringing.moments(scenario, journal, kind)
    every = int(os.environ.get("SWEEP_EVERY", "43"))
    assert ringing.swept(scenario, journal, range(1, count + 1, every), kind, Limit) == []
