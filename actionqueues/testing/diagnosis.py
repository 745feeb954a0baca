"""What is wrong with a scenario that was not restored: whose undo, why, and what would help.

Stands on what runs have recorded.  Used by the sweep, for each outcome.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from actionqueues.core.states import StepState

from .differences import ABSENT, Change, concerns
from .faults import Fault, Trial
from .record import Run, StepRecord

__all__ = ["Bug", "Finding", "diagnose", "diagnose_repair", "unexpected_changes"]


class Bug(StrEnum):
    """A kind of mistake in undo code.  Each member equals its text."""

    NO_UNDO = "no undo"  #: the action has no rollback handler
    IRREVERSIBLE = "irreversible"  #: it is declared so, and what came after it failed, or its own end
    LOST_REPLY = "lost reply"  #: the handler needs what a lost reply does not have
    INCOMPLETE = "incomplete undo"  #: the handler has returned, and something is left
    SWALLOWED = "swallowed"  #: the same, by a handler that swallows exceptions
    TOO_MUCH = "undoes too much"  #: what was there before is gone or changed
    NOT_IDEMPOTENT = "not idempotent"  #: a second call of the handler fails, or does more
    UNDO_FAILED = "undo failed"  #: the handler raises
    NOT_REPEATABLE = "cannot be repeated"  #: the handler fails where it is called after the undos of all others
    NOTHING_TO_UNDO = "nothing to undo"  #: the handler raises where the body has done nothing
    ORDER = "order"  #: the handler needs what a later step made, which is undone before it
    MUTATED = "argument changed"  #: the handler is given an argument that was changed after the call
    REPEATED = "repeated"  #: two attempts had two effects, and one was undone
    OUTSIDE = "outside any action"  #: something was done that no step knows of
    LATE = "after the rollback"  #: something was written once the rollback had ended
    OVERWRITTEN = "overwritten"  #: the handler undid somebody else's change
    ENDLESS = "endless retry"  #: a policy without a bound meets a fault that lasts
    NOT_RECOVERED = "not recovered"  #: after a crash and the recovery something is left
    RECOVERY_FAILED = "recovery failed"  #: the recovery after a crash has raised
    HOOK_LOST = "hook lost"  #: a crash after the commit costs what its hooks were to do
    HOOK_SPREADS = "hook failure spreads"  #: the failure of a hook costs more than what this hook was to do
    STILL_RUNNING = "still running"  #: a thread has outlived the scenario


@dataclass(frozen=True)
class Finding:
    """What is wrong.

    Attributes:
        bug: the kind of mistake.
        step: the action, hook or transaction that it is in; empty where it is in none.
        advice: what has happened, and what would help.
    """

    bug: Bug
    step: str
    advice: str


_HAPPENED = {
    Fault.BEFORE: "it failed before its body had done anything",
    Fault.BEFORE_TWICE: "it failed twice before its body had done anything, and then worked",
    Fault.BEFORE_ALWAYS: "it went on failing before its body had done anything",
    Fault.AFTER: "its body had done its work, and the reply was lost",
    Fault.AFTER_TWICE: "its body had done its work, the reply was lost twice, and then came",
    Fault.AFTER_ALWAYS: "its body had done its work, and every reply was lost",
    Fault.INTERRUPT: "Ctrl-C came when its body had done its work",
    Fault.CANCEL_BEFORE: "its task was cancelled before its body",
    Fault.CANCEL_INSIDE: "its task was cancelled where its body first waited",
    Fault.CANCEL_AFTER: "its task was cancelled when its body had done its work",
    Fault.COMMIT: "everything had succeeded, and the transaction failed at its very end",
    Fault.UNDO: "its handler failed, however often it was called",
    Fault.UNDO_ONCE: "its handler failed once",
    Fault.TWICE: "its handler was called a second time",
    Fault.STALE: "somebody else had changed it before it was undone",
    Fault.CRASH: "the process was killed",
    Fault.HOOK: "it failed after the commit",
}


def unexpected_changes(run: Run, changes: Sequence[Change]) -> list[Change]:
    """Without those that may be seen after a run: of steps that a report lists, and of what shares nothing with it."""
    allowed = [*run.disturbed, *run.independent]
    listed = [record for record in run.records if record.broken and (run.armed_at_undo or run.disturbed)]
    if any(_leaves_what_is_not_known(run, record) for record in listed):
        return []  # nobody can tell whose they are; all of them must be gone once its undo has been repeated
    return [
        change
        for change in changes
        if not any(concerns(change.path, each.path) for each in allowed)
        and not any(_touches(run, record, change.path) or _undo_touches(run, record, [change]) for record in listed)
    ]


def _leaves_what_is_not_known(run: Run, record: StepRecord) -> bool:
    undo_effects = record.undo_effects or run.known.undo_effects.get(record.place)
    return run.effects_of(record) is None and undo_effects is None


def diagnose(trial: Trial, run: Run, changes: Sequence[Change]) -> Finding | None:
    """What is wrong after a run that left these changes; None if nothing is."""
    if type(run.error).__name__ == "Endless":
        return Finding(Bug.ENDLESS, trial.place, f"{run.error}: give its retry policy a bound, attempts= or timeout=")
    target = run.record_at(trial.place)
    if trial.fault is Fault.TWICE and trial.point in run.fired and target is not None:
        found = _called_twice(target, run, changes)
        if found is not None:
            return found
    lost = _overwritten(run)
    if lost:
        name = "" if target is None else target.name
        advice = "look again before you undo, and raise RollbackConflict if it is not as you left it"
        return Finding(Bug.OVERWRITTEN, name, f"{name}: its undo took back what somebody else had done; {advice}")
    failed = next((record for record in run.records if record.broken and not _kept_back(run)), None)
    if failed is not None:
        return _failed_undo(trial, run, failed)
    if changes:
        late = _late(run, changes)
        return late if late is not None else _left(trial, run, changes, target)
    if run.left_threads:
        names = ", ".join(run.left_threads)
        return Finding(Bug.STILL_RUNNING, "", f"{names} still ran when the scenario had ended; join your threads")
    return None


def diagnose_repair(trial: Trial, run: Run, changes: Sequence[Change]) -> Finding | None:
    """What is wrong where a kept back undo was called at last, after all the others, and these changes are left."""
    for record in run.records:
        if record.second_call is not None and any(_touches(run, record, change.path) for change in changes):
            name = record.name
            return Finding(
                Bug.NOT_REPEATABLE,
                name,
                f"{name}: its undo failed, and when it was called again after all the others, it raised "
                f"{record.second_call!r}: it needs what an earlier step made, and that was undone meanwhile; let the "
                "step save what its undo needs",
            )
    return diagnose(trial, run, changes)


def _called_twice(target: StepRecord, run: Run, changes: Sequence[Change]) -> Finding | None:
    error = target.second_call
    known = [*(run.effects_of(target) or ()), *run.known.undo_effects.get(target.place, ())]
    if error is None and not any(concerns(change.path, each.path) for change in changes for each in known):
        return None
    what = "did more than the first one" if error is None else f"raised {error!r}"
    advice = "an undo is repeated after a crash or a lost reply, so let it look first, or use `step.undo_key`"
    return Finding(Bug.NOT_IDEMPOTENT, target.name, f"{target.name}: the second call of its handler {what}; {advice}")


def _overwritten(run: Run) -> list[Change]:
    """What somebody else had changed, and is not so any more."""
    if not run.disturbed or run.after_rollback is None:
        return []
    return [change for change in run.disturbed if _value_at(run.after_rollback, change.path) != change.after]


def _value_at(picture: object, path: Sequence[str]) -> object:
    for part in path:
        if isinstance(picture, list) and part.strip("[]").isdigit():
            items: list[object] = picture  # pyright: ignore[reportUnknownVariableType] - of anything
            place = int(part.strip("[]"))
            picture = items[place] if place < len(items) else ABSENT
        elif isinstance(picture, dict):
            # A dict of anything:
            picture = picture.get(part, ABSENT)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        else:
            return ABSENT
    return picture  # pyright: ignore[reportUnknownVariableType] - a part of anything


def _kept_back(run: Run) -> bool:
    """Whether a fault has kept an undo from its work, or made others fail that depend on it."""
    return run.armed_at_undo or bool(run.disturbed)


def _failed_undo(trial: Trial, run: Run, record: StepRecord) -> Finding:
    name, error = record.name, next((call for call in reversed(record.undo_calls) if call is not None), None)
    raised = f"{name}: its undo raised {error!r}"
    changed = record.changed_arguments
    if changed:
        return Finding(
            Bug.MUTATED,
            name,
            f"{raised}; {', '.join(changed)} was changed after the call: give the step a copy, or let it return what "
            "the undo needs",
        )
    if trial.fault in (Fault.BEFORE, Fault.BEFORE_ALWAYS, Fault.CANCEL_BEFORE) and record.place == trial.place:
        return Finding(
            Bug.NOTHING_TO_UNDO,
            name,
            f"{raised}, where {_HAPPENED[trial.fault]}: a handler that does not need `result` is called for a step "
            "that has failed as well, so let it cope with nothing to undo",
        )
    alone = run.known.undone_with.get(record.place)
    if alone is not None and alone < len(run.records) and record.undone_as is StepState.DONE:
        return Finding(
            Bug.ORDER,
            name,
            f"{raised}, which it does not where fewer steps were made: it needs what a later step made, and that is "
            "undone before; let the step return or save what its undo needs",
        )
    return Finding(Bug.UNDO_FAILED, name, f"{raised}; {_circumstances(trial, record)}")


def _circumstances(trial: Trial, record: StepRecord) -> str:
    happened = _HAPPENED[trial.fault]
    return happened if record.place == trial.place else f"{trial.place}: {happened}"


def _late(run: Run, changes: Sequence[Change]) -> Finding | None:
    """Changes that were not there when the rollback had ended, in a scenario with threads or tasks."""
    if run.after_rollback is None or not run.rolled_back or not run.concurrent:
        return None
    late = [change for change in changes if _value_at(run.after_rollback, change.path) != change.after]
    if not late:
        return None
    path = late[0].path
    writers = [each for each in run.records if _touches(run, each, path)]
    name = writers[-1].name if writers else ""
    return Finding(
        Bug.LATE,
        name,
        f"{name or 'something'} has written once the rollback had ended: a thread or task that is no step, or not of "
        "this transaction; call the action itself there, through q.run in a thread, so that the end waits for it",
    )


def _touches(run: Run, record: StepRecord, path: Sequence[str]) -> bool:
    return any(_concerns_in_any_run(path, each.path) for each in run.effects_of(record) or ())


def _concerns_in_any_run(one: Sequence[str], other: Sequence[str]) -> bool:
    return concerns(_without_keys(one), _without_keys(other))


def _without_keys(path: Sequence[str]) -> tuple[str, ...]:
    """A path without what is another name in each run: numbers, and keys."""
    return tuple(re.sub(r"[0-9a-f-]{8,}|\d+", "*", part) for part in path)


def _left(trial: Trial, run: Run, changes: Sequence[Change], target: StepRecord | None) -> Finding:
    """Whose effects are left, and why."""
    started = [record for record in run.records if record.reached or record is target]
    concerned = [record for record in started if any(_touches(run, record, each.path) for each in changes)]
    culprit = target if target in concerned else (concerned[-1] if concerned else None)
    unready = trial.fault in (Fault.BEFORE, Fault.BEFORE_ALWAYS, Fault.CANCEL_BEFORE)
    undid = target is not None and (
        any(each.kind != "added" for each in changes) or _undo_touches(run, target, changes)
    )
    if target is not None and undid and unready and target.undo_calls and (culprit is None or culprit is target):
        if all(each.kind == "added" for each in changes):
            return _too_much(target, changes)
        return Finding(
            Bug.TOO_MUCH,
            target.name,
            f"{target.name}: {_HAPPENED[trial.fault]}, but its undo took back what was there before; let the step save "
            "what it has done (`current_step().save`), and the undo look at that",
        )
    if culprit is None:
        culprit = next((each for each in run.records if _undo_touches(run, each, changes)), None)
        if culprit is not None:
            return _too_much(culprit, changes)
    if culprit is None:  # not all effects are known, as where steps run at the same time
        unknown = [each for each in started if each.reached and run.effects_of(each) is None]
        culprit = next((each for each in unknown if each.definition.handler is None), target if unknown else None)
    if culprit is None:
        by_hand = ", ".join(dict.fromkeys(record.name for record in run.records if record.by_hand))
        if by_hand:
            recorded = f"no undo that q.on_rollback has recorded ({by_hand})"
            advice = f"and {recorded} has taken it back: give it what it needs as arguments"
        else:
            advice = "so nothing undoes it; put it into an action with an undo, or record its undo by q.on_rollback"
        return Finding(Bug.OUTSIDE, "", f"no step has made this change: it was done outside any action, {advice}")
    return _why(trial, culprit, changes)


def _undo_touches(run: Run, record: StepRecord, changes: Sequence[Change]) -> bool:
    effects = record.undo_effects or run.known.undo_effects.get(record.place) or ()
    return any(_concerns_in_any_run(change.path, each.path) for change in changes for each in effects)


def _too_much(record: StepRecord, changes: Sequence[Change]) -> Finding:
    name = record.name
    if all(change.kind == "added" for change in changes):
        what = f"{name}: its undo has made something that was not there before: it is to take back, and nothing else"
    else:
        what = (
            f"{name}: its undo took back more than its body had done; something of before is gone or changed: let the "
            "step save what it has done (`current_step().save`), and the undo look at that"
        )
    return Finding(Bug.TOO_MUCH, name, what)


def _why(trial: Trial, record: StepRecord, changes: Sequence[Change]) -> Finding:
    name, definition = record.name, record.definition
    handler = definition.handler
    happened = _circumstances(trial, record)
    undo = "rollback" if handler is None or definition.is_object else handler.name
    if definition.irreversible:
        return Finding(
            Bug.IRREVERSIBLE,
            name,
            f"{name} cannot be undone, and {happened}; do it by q.on_commit; or do it last, and let ignore= name what "
            "it leaves",
        )
    if handler is None:
        return Finding(
            Bug.NO_UNDO, name, f"{name} has no undo; write one with @{name}.rollback, or do it by q.on_commit"
        )
    if record.settled is StepState.SKIPPED:
        return Finding(
            Bug.LOST_REPLY,
            name,
            f"{name}: {happened}, and nothing was undone: its handler needs `result`, which a lost reply does not "
            "have. Look it up by `step.key`, or give `result` a default.",
        )
    changed = record.changed_arguments
    if changed:
        return Finding(
            Bug.MUTATED,
            name,
            f"{name}: {', '.join(changed)} was changed after the call, so its undo was given something else; give the "
            "step a copy, or let it return what the undo needs",
        )
    if record.returned > 1:
        return Finding(
            Bug.REPEATED,
            name,
            f"{name}: {happened}; each attempt had an effect of its own, and not all were undone: pass `step.key` on, "
            "so that a second attempt is known for one",
        )
    if _swallows(handler.function):
        return Finding(
            Bug.SWALLOWED,
            name,
            f"{name}: its undo {undo} has returned, and something is left; it swallows exceptions: let them "
            "out, so that a failed undo is reported",
        )
    if not record.undo_calls:
        advice = "a classic queue is rolled back by who has executed it: call its rollback() when execute() has raised"
        return Finding(Bug.INCOMPLETE, name, f"{name}: {happened}, and its undo was not called; {advice}")
    if any(change.kind == "removed" for change in changes):
        return _too_much(record, changes)
    if record.undone_as is not StepState.DONE and handler.asks_for("result"):
        return Finding(
            Bug.LOST_REPLY,
            name,
            f"{name}: {happened}, and its undo did nothing about that: without a `result`, let it look the effect up "
            "by `step.key`, or by what the step has saved",
        )
    return Finding(
        Bug.INCOMPLETE,
        name,
        f"{name}: {happened}; its undo {undo} has returned, and something is left: let it undo all that the body does, "
        "or let ignore= name what may differ",
    )


def _swallows(function: Any) -> bool:
    """Whether the source of a handler has an ``except`` that raises nothing, or a ``suppress``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # made at run time, or not of Python
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and not any(isinstance(each, ast.Raise) for each in ast.walk(node)):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            return True
    return False
