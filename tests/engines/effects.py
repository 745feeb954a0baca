"""What the steps of the conformance suite have done: by run, in the process where they were run, in order.

An engine runs a step where it likes, and the block, on Temporal, in a sandbox that imports all modules afresh.  So
steps leave their trail here, where they are run, and scenarios say what they have seen in their own list.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import count
from typing import Any

from actionqueues import NoTransaction, current_step


@dataclass(frozen=True)
class Effect:
    """Something that was done: `+a` by the body of step a, `-a` by its undo, or another word.

    Attributes:
        word: what was done.
        step: the name of the step in its scenario, or "" outside any.
        key, undo_key: of that step.
    """

    word: str
    step: str = ""
    key: str = ""
    undo_key: str = ""

    def __str__(self) -> str:
        return self.word


_done: defaultdict[str, list[Effect]] = defaultdict(list)
_released: defaultdict[str, threading.Event] = defaultdict(threading.Event)


_runs = count(1)


def new_run() -> str:
    """A name for a run; all have the same length."""
    return f"run-{next(_runs):06}"


def did(run: str, word: str, step: str = "") -> None:
    """Note what a step or a hook does."""
    try:
        current: Any = current_step()
    except NoTransaction:
        _done[run].append(Effect(word))
    else:
        _done[run].append(Effect(word, step, current.key, current.undo_key))


def trail(run: str) -> list[str]:
    """What was done, as words in order."""
    return [effect.word for effect in list(_done[run])]


def how_often(run: str, sign: str, step: str) -> int:
    """How often the body (`+`) or the undo (`-`) of a step has been called."""
    return sum(effect.step == step and effect.word[0] == sign for effect in list(_done[run]))


def release(run: str) -> None:
    """Let the steps of a run that wait for it go on."""
    _released[run].set()


def released(run: str) -> threading.Event:
    """What such steps wait for."""
    return _released[run]


def wrong_keys(run: str) -> list[str]:
    """What is wrong with the keys: one step has one key and one undo key, and no two are the same."""
    found: list[str] = []
    effects = [effect for effect in _done[run] if effect.step]
    owners: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for effect in effects:
        owners[effect.key].add((effect.step, "key"))
        owners[effect.undo_key].add((effect.step, "undo key"))
    found += [f"{key!r} is {sorted(what)}" for key, what in owners.items() if len(what) > 1 or not key]
    count = Counter(what for those in owners.values() for what in those)
    found += [f"{step} has {times} different ones as its {kind}" for (step, kind), times in count.items() if times > 1]
    return found
