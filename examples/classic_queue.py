"""The classic queue: actions as objects, run in order, rolled back by whoever called them.

Each action draws lots: it succeeds, asks to be tried again, or fails. When one fails, the caller
hears of it first and rolls back after that. A second queue shows the doubling wait.

    python examples/classic_queue.py [--seed N]

The exit status is 0 if every action is either done, or undone with all the others.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from actionqueues import action, actionqueue
from actionqueues.exceptionfactory import DoublingBackoffExceptionFactory


class SetValue(action.Action):
    """Sets its value to 1, if the dice allow it; the undo sets it back to 0."""

    def __init__(self, name: str, dice: random.Random) -> None:
        self.name = name
        self.value = 0
        self._dice = dice

    def execute(self) -> None:
        match self._dice.choice(["succeed", "succeed", "retry", "fail"]):
            case "retry":
                print(f"  {self.name}: busy, asks to be called again in 10 ms")
                raise actionqueue.ActionRetryException(ms_backoff=10)
            case "fail":
                print(f"  {self.name}: fails")
                raise RuntimeError(f"{self.name} does not work today")
            case _:
                self.value = 1
                print(f"  {self.name}: done")

    def rollback(self) -> None:
        # The action that failed is rolled back too, so look before undoing.
        print(f"  {self.name}: {'undone' if self.value else 'nothing to undo'}")
        self.value = 0


class Unreachable(action.Action):
    """A service that is never there. It waits 10, 20, 40 ms between its attempts, then gives up."""

    def __init__(self) -> None:
        self.attempts = 0
        self._started = time.perf_counter()
        self._execute_errors = DoublingBackoffExceptionFactory(retries=3, ms_backoff_initial=10)

    def execute(self) -> None:
        self.attempts += 1
        elapsed = (time.perf_counter() - self._started) * 1000
        print(f"  attempt {self.attempts} after {elapsed:3.0f} ms")
        try:
            raise ConnectionRefusedError("nobody listens")
        except ConnectionRefusedError as error:
            self._execute_errors.raise_exception(original_exception=error)

    def rollback(self) -> None:
        """It never got anywhere: nothing to undo."""


def draw_lots(seed: int) -> bool:
    """Run four actions; return whether they ended all done or all undone."""
    dice = random.Random(seed)
    actions = [SetValue(name, dice) for name in ("first", "second", "third", "fourth")]
    queue = actionqueue.ActionQueue()
    for item in actions:
        queue.add(item)
    print(f"Four actions that draw lots, seed {seed}:")
    try:
        queue.execute()
    except RuntimeError as error:
        print(f"Stopped: {error}. Rolling back, last one first:")
        queue.rollback()
    values = {item.value for item in actions}
    return len(values) == 1


def double_the_wait() -> bool:
    """Run an action that never works; return whether it was tried as often as it should be."""
    print("\nAn action that never works, tried four times with a doubling wait:")
    action_ = Unreachable()
    queue = actionqueue.ActionQueue()
    queue.add(action_)
    try:
        queue.execute()
    except ConnectionRefusedError as error:
        print(f"Gave up: {error}.")
        queue.rollback()
    return action_.attempts == 4


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=30, help="which lots are drawn (default: 30)")
    seed = parser.parse_args().seed
    all_or_none = draw_lots(seed)
    tried_again = double_the_wait()
    if all_or_none and tried_again:
        print("\nOK: all of the four or none, and four attempts.")
        return 0
    print(f"\nFAILED: all of the four or none: {all_or_none}; four attempts: {tried_again}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
