"""How it works inside: the page to read first.

One idea carries everything: *a log is a list of what was started, in order of start; an entry is a step or another
log.*  Undo goes backwards, and what an entry contains goes with it, first.

**How a call becomes a record.**  `@action` (`action.py`) checks its options (`declaring.py`, `options.py`) and makes a
`Definition` of a function (`definition.py`), which reads its signature (`signature.py`) and has frames generated that
take exactly those parameters (`frames.py`).  Calling the action runs such a frame, in a class as the function would be
bound there (`binding.py`).  It asks the context for the log around it (`log.py`); where there is none, it just calls
the function, or refuses that (`required.py`).  Otherwise it puts a record, ``[PENDING, definition, *arguments]``
(`step.py`), at the end of the log, calls the function, and stores the result in the record.  That is all that a step
costs.  A step in an ``async with`` block gets a log of its own, which its context holds while its body runs, so that
what the body calls, in whatever task or thread, is contained in it.

**What is rare leaves the frame by one exit.**  In another thread, in trio, in a block that is watched or has ended, the
frame calls `elsewhere` or `otherwise` (`exits.py`), which run the step the long way (`calls.py`).

**How an exception becomes an undo.**  A body that raises makes its frame call `failed`: the record becomes a log of its
own, with all that stands behind it, and the engine (`engine.py`) walks backwards through that, calling the rollback
handlers (`handler.py`).  The policy (`attempts.py`) says whether there is another attempt.  Leaving a block by an
exception does the same to the log of the whole block (`ending.py`).

**Who waits.**  What is decided is in generators that yield what must be waited for (`requests.py`): `calls.py`,
`engine.py`, `hooks.py`, `ending.py`.  `drivers.py` has the two loops that wait, one for threads and one for tasks, and
is the only file that does; `tasks.py` knows what asyncio and trio do differently, `interrupts.py` what signals do.  An
error is a value there: the engine returns it, and the shells (`transaction.py`, `actionqueue.py`) raise it.

**A block** (`block.py`) is made, entered, closed, and committed or rolled back; `face.py` is what users call on it, and
checks it; `rollbacks.py` and `marks.py` undo all of it, or what came after a mark; `queue.py` binds steps for later,
`hooks.py` calls what comes after.  The journal and fault sweeps are attached at one seam, `watch.py`; a block that
nobody watches pays nothing for it.

Where each rule lives: order of the queue and of undoing, `log.py` and `engine.py`; undoing at the same time,
`waves.py`; failures of undos, and what is left, `engine.py`, and how it is told, `telling.py`; steps of which nobody
knows whether they have happened, `probing.py`; retries, `attempts.py` and `calls.py`; legal states, `states.py`;
blocks, savepoints and their ends, `block.py`, `ending.py`, `face.py`; blocks that go on elsewhere, `giving_up.py`;
marks, `marks.py`; queued steps, `queue.py`, and plans of them, `plan.py`; undo at once, `calls.py`; what handlers are
given, `handler.py`; what steps tell, `step.py`, `current.py`, and what reports keep of them, `kept.py`, `entries.py`;
hooks, `hooks.py`; async and threads, `calls.py`, `waiting.py`, `drivers.py`, `tasks.py`; interrupts, `interrupts.py`;
what an exception shows, `tracebacks.py`, and how all is worded, `text.py`.
"""
