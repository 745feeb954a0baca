"""What a sweep costs: runs and pictures, counted."""

from __future__ import annotations

from actionqueues import transaction
from actionqueues.testing import sweep

from .world import put, world


def test_runs_and_pictures_grow_with_the_number_of_steps_and_nothing_else() -> None:
    def cost(steps: int) -> tuple[int, int]:
        pictures: list[int] = []

        def state() -> object:
            pictures.append(1)
            return dict(world)

        def scenario() -> None:
            with transaction():
                for number in range(steps):
                    put(str(number))

        made = sweep(scenario, state=state, reset=world.clear).check()
        world.clear()
        return made.runs, len(pictures)

    small, medium, large = cost(5), cost(10), cost(20)
    assert [large[0] - medium[0], large[1] - medium[1]] == [2 * (medium[0] - small[0]), 2 * (medium[1] - small[1])]
    assert medium[1] < 5 * medium[0]
