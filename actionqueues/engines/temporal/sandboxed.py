"""Modules that a workflow's sandbox does not have, though the worker does.

The sandbox has the modules that the workflow's own code has imported, most of them again.  What it has passed through,
such as a module with actions, has imported others outside: their exceptions and dataclasses come out of activities all
the same, and an `except` in the workflow, and a retry policy, know them as the passed-through module does.

Stands on what finds classes by their names, and registers itself there.  Used by the engine.
"""

from __future__ import annotations

from actionqueues.journal.modules import BEYOND, modules_outside

__all__: list[str] = []

BEYOND.append(modules_outside().get)
