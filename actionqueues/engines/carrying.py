"""Calls, results and errors as text, and back.

Stands on how the journal writes values.  Used by what runs the units of an engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from time import time
from typing import Any, Final

from actionqueues.core.step import DEFINITION, VALUES, Step
from actionqueues.journal.errors import NotRecordable
from actionqueues.journal.serializer import Serializer, to_json
from actionqueues.journal.values import Missing, Values

from .errors import NotCarried

__all__ = ["Carrier", "Outcome", "carried", "object_of"]

#: What came of a unit: the parsed text of one.
Outcome = Mapping[str, Any]


_DEEPEST: Final = 10


@contextmanager
def carried() -> Generator[None, None, None]:
    """What the journal could not record, the engine cannot carry."""
    try:
        yield
    except NotRecordable as refused:
        raise NotCarried(refused.reason, refused.what) from None


def object_of(texts: Mapping[str, str]) -> str:
    """A JSON object, of its values as JSON by name."""
    return "{" + ", ".join(f"{to_json(name)}: {text}" for name, text in texts.items()) + "}"


class _Values(Values):
    def advice(self, name: str) -> str:
        resource = "" if name == "result" else f", or supply it where it is run: resources={{{name!r}: ...}}"
        return f"; or let the engine know it: serializer=...{resource}"


class Carrier:
    """Writes and reads what an engine keeps.

    Args:
        engine: what messages call it.
        serializer: what turns values into JSON data.
        resources: the names of parameters whose values are not carried, but supplied where a call is run.
        longest: how many bytes the engine takes of a call with its arguments, or of an outcome; None if any number.
    """

    def __init__(
        self,
        engine: str,
        serializer: Serializer | None = None,
        resources: Mapping[str, Callable[[], Any]] | None = None,
        longest: int | None = None,
    ) -> None:
        self.engine, self.longest = engine, longest
        self.values = _Values(engine, serializer or Serializer(), resources or {}, ())

    # -- writing

    def value(self, value: Any, name: str, what: str) -> str:
        """One value as JSON.

        Raises:
            NotCarried: if it is no plain data.
        """
        with carried():
            return self.values.value(value, name, what)

    def arguments(self, step: Step[Any], *, all_of_them: bool) -> str:
        """The arguments of a call by name; without those that are no plain data, unless it takes `all_of_them`.

        Raises:
            NotCarried: for one of these.
        """
        definition, record = step._record[DEFINITION], step._record
        if all_of_them:
            with carried():
                return self.values.arguments(definition, record, step.name)
        texts: dict[str, str] = {}
        for place, name in enumerate(definition.parameters.names):
            with suppress(NotCarried):  # an execution after this one has it again, from the workflow's code
                texts[name] = self.value(record[VALUES + place], name, step.name)
        return object_of(texts)

    def saved(self, step: Step[Any]) -> str:
        """What a step has saved.

        Raises:
            NotCarried: for what is no plain data.
        """
        with carried():
            return self.values.saved(step._saved or {}, f"what {step.name} saves")

    def fitting(self, text: str, what: str, advice: str) -> str:
        """The same text.

        Raises:
            NotCarried: if it is too long.
        """
        if self.longest is not None and 4 * len(text) > self.longest and (size := len(text.encode())) > self.longest:
            takes = f"{what} takes {size:,} bytes, and {self.engine} is given {self.longest:,} at most"
            raise NotCarried(f"{takes}; keep it elsewhere, and {advice} what identifies it", what)
        return text

    def error(self, error: BaseException, depth: int = 0) -> str:
        """An exception, and what has caused it: class, text, and arguments and attributes that are plain data."""
        cause = error.__cause__
        more = {} if cause is None or depth >= _DEEPEST else {"cause": self.error(cause, depth + 1)}
        told = self.values.error_itself(error, **more)
        try:
            return self.fitting(told, "", "")
        except NotCarried:
            data = json.loads(told)
            return to_json({name: data[name] for name in ("type", "text")})

    def outcome(self, began: float, **texts: str | None) -> str:
        """What came of a unit that began at a time; `texts` are JSON."""
        told = {"began": repr(began), "ended": repr(time()), **texts}
        return object_of({name: text for name, text in told.items() if text is not None})

    # -- reading

    def read(self, text: str) -> Outcome:
        """What came of a unit."""
        outcome: Outcome = json.loads(text)
        return outcome

    def value_of(self, data: Any) -> Any:
        """A value again, or a `Missing` that says why there is none."""
        return self.values.read_value(json.dumps(data))

    def error_of(self, data: Any) -> BaseException:
        """An exception again: of its own class if that is imported here, and a `RecordedError` otherwise."""
        error = self.values.read_error(json.dumps(data))
        if "cause" in data:
            error.__cause__ = self.error_of(data["cause"])
        return error

    def saved_of(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """What a step has saved."""
        return {name: value for name, item in data.items() if not isinstance(value := self.value_of(item), Missing)}

    def put_back(self, step: Step[Any], arguments: Mapping[str, Any]) -> None:
        """Give a step the arguments that were recorded, where the workflow's code has computed others since."""
        record, now = step._record, json.loads(self.arguments(step, all_of_them=False))
        for place, name in enumerate(record[DEFINITION].parameters.names):
            if name in arguments and arguments[name] != now.get(name):
                value = self.value_of(arguments[name])
                if not isinstance(value, Missing):
                    record[VALUES + place] = value
