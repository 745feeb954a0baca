"""The other libraries beside this one: blocks of 1, 10, 1000 and 100 000 steps, and memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.benchmarks import workloads
from tests.benchmarks.candidates import Build, Candidate, NotMeasured, Numbers, Work, built
from tests.benchmarks.measures import MANY, ONE, THOUSAND
from tests.benchmarks.memory import bytes_a_step
from tests.benchmarks.peers import PEERS
from tests.benchmarks.table import amount, ratio
from tests.benchmarks.timing import Effort, blocks_of, side_by_side

SIZES: Sequence[Numbers] = (ONE, tuple(range(10)), THOUSAND, MANY)


@dataclass(frozen=True)
class Comparison:
    """The cells of the table, and under it what a reader must know about its columns."""

    head: list[str]
    body: list[list[str]]
    notes: list[str]


def compared(names: Iterable[str], effort: Effort) -> Comparison:
    """Measure ``ExitStack``, this library and the peers that are here, side by side."""
    candidates, notes = _candidates({name: PEERS[name] for name in names})
    baseline, *others = candidates
    body = []
    for numbers in SIZES:
        commits = {candidate.name: candidate.commit for candidate in candidates}
        body.append(_timed("commit", commits, numbers, effort))
    for numbers in SIZES:
        rollbacks = {candidate.name: candidate.rollback for candidate in candidates}
        body.append(_timed("rollback", rollbacks, numbers, effort))
    for numbers in SIZES:
        sizes = [bytes_a_step(candidate, numbers) for candidate in candidates]
        body.append(_cells("memory", numbers, sizes, "B"))
    head = ["a step, N in a block", baseline.name, *(candidate.name for candidate in others)]
    return Comparison(head, body, notes)


def _candidates(peers: dict[str, Build]) -> tuple[list[Candidate], list[str]]:
    candidates = [built(workloads.exit_stack), built(workloads.by_hand), built(workloads.ours)]
    notes = []
    for name, build in peers.items():
        try:
            candidate = built(build)
        except NotMeasured as reason:
            notes.append(f"{name}: left out, {reason}")
            continue
        candidates.append(candidate)
        if candidate.note:
            notes.append(f"{candidate.name}: {candidate.note}")
    return candidates, notes


def _timed(what: str, works: dict[str, Work], numbers: Numbers, effort: Effort) -> list[str]:
    timed = {name: blocks_of(work, numbers) for name, work in works.items()}
    times = side_by_side(timed, effort)
    return _cells(what, numbers, [times[name].best for name in works], "ns")


def _cells(what: str, numbers: Numbers, figures: Sequence[float], unit: str) -> list[str]:
    baseline, *others = figures
    ratios = [ratio(figure / baseline) for figure in others]
    steps = f"{len(numbers):,}".replace(",", " ")
    return [f"{what}, N = {steps}", amount(baseline, unit), *ratios]
