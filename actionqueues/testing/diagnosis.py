"""What is wrong with a scenario that was not restored: whose undo, why, and what would help.

Stands on what runs have recorded.  Used by the sweep, for each outcome.
"""

from __future__ import annotations

from collections.abc import Sequence

from actionqueues.core.states import StepState

from .blame import argument_changed, blame, touches, undo_touches
from .bugs import HAPPENED, Bug, Finding, circumstances
from .differences import ABSENT, Change, concerns, equal, value_at
from .faults import Fault, Trial
from .record import Run
from .steps import StepRecord

__all__ = ["diagnose", "diagnose_repair", "overwritten", "unexpected_changes"]


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
        and not any(touches(run, record, change.path) or undo_touches(run, record, [change]) for record in listed)
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
    if trial.fault is Fault.TAKEN and target is not None:
        found = _not_its_own(trial, run, target)
        if found is not None:
            return found
    lost = [] if trial.fault is Fault.TAKEN else overwritten(run)
    if lost:
        name = "" if target is None else target.name
        advice = "look again before you undo, and raise RollbackConflict if it is not as you left it"
        return Finding(Bug.OVERWRITTEN, name, f"{name}: its undo took back what somebody else had done; {advice}")
    failed = next((record for record in run.records if record.broken and not _kept_back(run)), None)
    if failed is not None:
        return _failed_undo(trial, run, failed)
    if changes:
        late = _late(run, changes)
        return late if late is not None else blame(trial, run, changes, target)
    if run.left_threads:
        names = ", ".join(run.left_threads)
        return Finding(Bug.STILL_RUNNING, "", f"{names} still ran when the scenario had ended; join your threads")
    return None


def diagnose_repair(trial: Trial, run: Run, changes: Sequence[Change]) -> Finding | None:
    """What is wrong where a kept back undo was called at last, after all the others, and these changes are left."""
    for record in run.records:
        changed = record.changed_arguments
        if changed and any(touches(run, record, change.path) for change in changes):
            return argument_changed(record, changed)
        if record.second_call is not None and any(touches(run, record, change.path) for change in changes):
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
    error, changed = target.second_call, target.changed_arguments
    known = [*(run.effects_of(target) or ()), *run.known.undo_effects.get(target.place, ())]
    if error is None and not any(concerns(change.path, each.path) for change in changes for each in known):
        return None
    if changed:
        return argument_changed(target, changed)
    what = "did more than the first one" if error is None else f"raised {error!r}"
    advice = "an undo is repeated after a crash or a lost reply, so let it look first, or use `step.undo_key`"
    return Finding(Bug.NOT_IDEMPOTENT, target.name, f"{target.name}: the second call of its handler {what}; {advice}")


def overwritten(run: Run) -> list[Change]:
    """What somebody else had changed, and is not so any more: from that to what it is."""
    seen = run.after_rollback if run.seen is None else run.seen
    if not run.disturbed or seen is None:
        return []
    found = [(change, value_at(seen, change.path)) for change in run.disturbed]
    return [Change(change.path, change.after, now) for change, now in found if not equal(change.after, now)]


def _not_its_own(trial: Trial, run: Run, target: StepRecord) -> Finding | None:
    """What a step, or its undo, has done to what somebody else had made before."""
    name, lost = target.name, overwritten(run)
    if target.settled is StepState.UNDO_FAILED:
        return _failed_undo(trial, run, target)
    undid = [each for each in lost if any(concerns(each.path, mine.path) for mine in target.undo_effects or ())]
    if undid:
        return Finding(
            Bug.NOT_ITS_OWN,
            name,
            f"{name}: its undo {_undo_of(target)} took back what this step did not make: somebody else had made it "
            "before; let the step save what it has made (`current_step().save`) or mark it with `step.key`, and the "
            "undo look at that",
        )
    if lost and target.undone_as is not StepState.DONE and all(each.after is ABSENT for each in lost):
        return None  # its body has failed, and a database that rolled back took along what that connection had made
    replaced = [each for each in lost if any(concerns(each.path, mine.path) for mine in target.effects or ())]
    if replaced or (lost and (target.effects is None or target.undo_effects is None)):
        return Finding(
            Bug.REPLACED,
            name,
            f"{name}: it replaced what somebody else had made before, and its undo {_undo_of(target)} has not put that "
            'back; let the step refuse what is there, or save it first (`if "old" not in step.saved: '
            "step.save(old=...)`), and the undo restore that",
        )
    return None  # a database that has rolled back by itself has taken it along


def _undo_of(record: StepRecord) -> str:
    handler = record.definition.handler
    return "" if handler is None else handler.name


def _kept_back(run: Run) -> bool:
    """Whether a fault has kept an undo from its work, or made others fail that depend on it."""
    return run.armed_at_undo or bool(run.disturbed)


def _failed_undo(trial: Trial, run: Run, record: StepRecord) -> Finding:
    name, error = record.name, next((call for call in reversed(record.undo_calls) if call is not None), None)
    raised = f"{name}: its undo raised {error!r}"
    changed = record.changed_arguments
    if changed:
        return argument_changed(record, changed, raised)
    if trial.fault in (Fault.BEFORE, Fault.BEFORE_ALWAYS, Fault.CANCEL_BEFORE) and record.place == trial.place:
        return Finding(
            Bug.NOTHING_TO_UNDO,
            name,
            f"{raised}, where {HAPPENED[trial.fault]}: a handler that does not need `result` is called for a step "
            "that has failed as well, so let it cope with nothing to undo",
        )
    alone = run.known.undone_with.get(record.place)
    if alone is not None and alone < len(run.records) and record.undone_as is StepState.DONE:
        if record.gone:
            return Finding(
                Bug.TAKEN_ALONG,
                name,
                f"{raised}: what it had made was gone when its undo was called, as where a database rolls back by "
                "itself all that was not committed; let the undo look first, or give each step a savepoint of its "
                "database",
            )
        return Finding(
            Bug.ORDER,
            name,
            f"{raised}, which it does not where fewer steps were made: it needs what a later step made, and that is "
            "undone before; let the step return or save what its undo needs",
        )
    return Finding(Bug.UNDO_FAILED, name, f"{raised}; {circumstances(trial, record)}")


def _late(run: Run, changes: Sequence[Change]) -> Finding | None:
    """Changes that were not there when the rollback had ended, in a scenario with threads or tasks."""
    if run.after_rollback is None or not run.rolled_back or not run.concurrent:
        return None
    late = [change for change in changes if value_at(run.after_rollback, change.path) != change.after]
    if not late:
        return None
    path = late[0].path
    writers = [each for each in run.records if touches(run, each, path)]
    name = writers[-1].name if writers else ""
    return Finding(
        Bug.LATE,
        name,
        f"{name or 'something'} has written once the rollback had ended: a thread or task that is no step, or not of "
        "this transaction; call the action itself there, through q.run in a thread, so that the end waits for it",
    )
