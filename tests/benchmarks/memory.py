"""Bytes a step: what a block keeps for the steps it has made, while it is still open.

Counted with ``tracemalloc`` from before the block is opened until its last step has returned, and
divided by the number of steps; so a block of one step shows what the block itself takes. Arguments
were made beforehand and are shared, so only what the library adds to them counts. Memory that an
extension in another language takes from its own allocator is not seen.
"""

import gc
import tracemalloc

from tests.benchmarks.candidates import Candidate, Numbers


def bytes_a_step(candidate: Candidate, numbers: Numbers) -> float:
    """The bytes that ``candidate`` keeps alive for each of ``numbers``."""
    used = 0

    def probe() -> None:
        nonlocal used
        used = tracemalloc.get_traced_memory()[0]

    candidate.hold(numbers, probe)  # whatever is kept from the first block on is made here
    tracemalloc.start()
    try:
        # A full collection also empties the interpreter's free lists: an object that is taken from
        # one of them would be held, but not counted.
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        candidate.hold(numbers, probe)
    finally:
        tracemalloc.stop()
    return (used - before) / len(numbers)
