"""`StepRecord`: what one step did in one run of a scenario, and what was done to what it was given.

Stands on steps and pictures.  Used by runs, which fill it in, and by diagnoses.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from actionqueues.core.definition import Definition
from actionqueues.core.signature import code_of
from actionqueues.core.states import StepState
from actionqueues.core.step import Step

from .calling import definition_of_step
from .differences import Change, compare, equal
from .snapshots import ATOMS, fields_of, frozen

__all__ = ["Look", "StepRecord"]

#: Arguments of these types are copied, to see whether somebody changes them after the call.
_PLAIN = (dict, list, set, bytearray, deque)


@dataclass(eq=False)
class Look:
    """A body or an undo of a step that is looked at while it runs.

    Attributes:
        before: a picture of the world before it, or None if none was wanted, or could be taken.
        crowded: whether others ran beside it, so that nobody can tell whose effects a later picture shows.
    """

    before: Any = None
    crowded: bool = False


@dataclass(eq=False)
class StepRecord:
    """What one step did in one run.

    Attributes:
        place: its name and, from the second step of that name on, ``#`` and its number.
        step: the step.
        caller: the step whose body has called it, or None.
        attempts: how many attempts of its body were made.
        returned: how many of them came to their end.
        in_loop: whether it ran in an event loop.
        reached: whether its body was reached at all.
        effects: what its body changed; None where that was not looked at, or others ran beside it.
        inner_effects: what the steps that it has called have changed.
        undo_effects: what its undo changed, likewise.
        undo_calls: what its handler raised, or None, for each time that it was called.
        undone_as: what state it was in when it was undone.
        second_call: what its handler raised when it was called a second time.
        settled: what became of it.
        repeat: whether it is one of a transaction that was rolled back and entered again.
        repaired: whether its handler was called after the verdict, since its undo had failed.
        by_hand: whether it was done by hand, and its undo recorded by ``q.on_rollback``.
        changed_arguments: the names of the arguments that were not what they had been when it was called.
        gone: whether nothing of what it had made was left when it was undone.
        saved_again: what a later attempt has saved in the place of what an earlier one had.
        cancelling: what is going to cancel its task, to be cancelled itself if the body ends first.
    """

    place: str
    step: Step[Any]
    caller: StepRecord | None = None
    attempts: int = 0
    returned: int = 0
    in_loop: bool = False
    reached: bool = False
    effects: list[Change] | None = None
    inner_effects: list[Change] = field(default_factory=list[Change])
    undo_effects: list[Change] | None = None
    undo_calls: list[BaseException | None] = field(default_factory=list[BaseException | None])
    undone_as: StepState | None = None
    second_call: BaseException | None = None
    settled: StepState | None = None
    repeat: bool = False
    repaired: bool = False
    by_hand: bool = False
    changed_arguments: list[str] = field(default_factory=list[str])
    gone: bool = False
    saved_again: list[str] = field(default_factory=list[str])
    cancelling: Any = None
    _arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    _saved: dict[str, Any] = field(default_factory=dict[str, Any])
    _body: Look = field(default_factory=Look)  # of all attempts: what earlier ones have done counts as well
    _undo: Look = field(default_factory=Look)

    @property
    def name(self) -> str:
        """The name of the action."""
        return self.step.name

    @property
    def definition(self) -> Definition:
        """What is fixed about the action."""
        return definition_of_step(self.step)

    def is_in(self, other: StepRecord) -> bool:
        """Whether it is the other one, or was called in it, however deep."""
        record: StepRecord | None = self
        while record is not None and record is not other:
            record = record.caller
        return record is other

    @property
    def broken(self) -> bool:
        """Whether its undo was tried and failed."""
        return self.settled in (StepState.UNDO_FAILED, StepState.CONFLICT)

    def remember_arguments(self) -> None:
        """Copy the arguments that can be changed in place."""
        self._arguments = {name: frozen(held) for name, held in self._changeable()}

    def look_at_arguments(self, *, its_own: bool = False) -> None:
        """See which of them are not what they were; what its own body changes is what it works on, and not watched."""
        changed = [name for name, held in self._changeable() if compare(self._arguments.get(name, held), frozen(held))]
        if its_own:
            self._arguments = {name: value for name, value in self._arguments.items() if name not in changed}
        elif not self.changed_arguments:
            self.changed_arguments = [name for name in changed if name in self._arguments]

    def look_at_saved(self) -> None:
        """See whether this attempt has saved something in the place of what an earlier one had."""
        saved = frozen(self.step.saved)
        self.saved_again += [name for name, value in self._saved.items() if not equal(value, saved.get(name))]
        self._saved = saved

    def _changeable(self) -> list[tuple[str, Any]]:
        """What can be changed in place: containers, those in objects, and what the handler reads of objects."""
        found: list[tuple[str, Any]] = []
        handler = self.definition.handler
        code = None if handler is None else code_of(handler.function)
        for name, value in self.step.arguments.items():
            given: Any = value
            if isinstance(value, (*_PLAIN, tuple)):
                found.append((name, given))
            else:
                parts: dict[str, Any] = fields_of(given)
                held: dict[str, Any] = {each: part for each, part in parts.items() if isinstance(part, _PLAIN)}
                found.append((name, held))
                read = () if code is None else [each for each in code.co_names if each in parts]
                found += [(f"{name}.{each}", parts[each]) for each in read if isinstance(parts[each], ATOMS)]
        return found
