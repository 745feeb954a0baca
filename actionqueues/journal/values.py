"""How calls, results and errors are written, and read again.

Stands on the serializer, and on records, whose values it takes in the order of the parameters.  Used by the recording,
and by what makes steps again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from copy import copy
from inspect import Parameter
from typing import Any, Final, NoReturn, Self

from actionqueues.core.definition import Definition
from actionqueues.core.signature import signature_of
from actionqueues.core.step import VALUES, Record
from actionqueues.core.text import shown
from actionqueues.errors import ActionRetryException

from .errors import NotRecordable, NotRestorable
from .modules import find, qualified_name
from .places import Place
from .redaction import Redaction, redacted_in
from .serializer import Serializer, Unsupported, quick_json, to_json

__all__ = ["Missing", "RecordedError", "Values", "readable"]

_LONGEST: Final = 4000


def readable(text: str) -> str:
    """Any text as one that a file can hold and a person can read."""
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def _attributes(value: object) -> Iterator[Any]:
    """What an object has in its dictionary and its slots."""
    yield from getattr(value, "__dict__", {}).values()
    for each in type(value).__mro__:
        slots = vars(each).get("__slots__", ())
        yield from (getattr(value, slot, None) for slot in ((slots,) if isinstance(slots, str) else slots))


class RecordedError(Exception):
    """Stands for an exception whose class is not there any more; its text is what was recorded."""

    __module__ = "actionqueues.journal"


class Missing:
    """Stands for a value that recovery does not have.

    Attributes:
        reason: why not.
    """

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"<missing: {self.reason}>"


class Values:
    """The values of one journal.

    Args:
        path: the file, for messages.
        serializer: what turns values into JSON data.
        resources: what is never recorded, and made again, by the name of the parameter.
        redact: the names of what is kept out of the file.
    """

    _redaction: Redaction | None = None  # where there is anything to be kept out

    def __init__(
        self,
        path: str,
        serializer: Serializer,
        resources: Mapping[str, Callable[[], Any]],
        redact: Collection[str],
    ) -> None:
        self.path = path
        self.serializer = serializer
        self.resources = resources
        self.redact = frozenset(redact)
        self._kept_out = frozenset(resources) | self.redact
        self._quick = type(serializer).encode is Serializer.encode
        self._heads: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._place: Place | None = None

    def read_at(self, place: Place) -> Values:
        """The same, for reading what was recorded at a place: paths that do not hold here are `Missing`."""
        values = copy(self)
        values._place = place if place.elsewhere else None
        return values

    def of_one(self) -> Self:
        """The same for one transaction, whose errors are recorded without what was kept out of its values."""
        if not self.redact:
            return self
        made = copy(self)
        made._redaction = Redaction(self.redact)
        return made

    # -- writing

    def value(self, value: Any, name: str, what: str) -> str:
        """One value, such as a result, as JSON.

        Raises:
            NotRecordable: if that cannot be done, whatever the reason.
        """
        if name in self._kept_out:
            self._learn(name, value)
            return to_json({"$resource" if name in self.resources else "$redacted": name})
        text = quick_json(value) if self._quick else None
        if text is not None:
            return text
        try:
            data = self.serializer.encode(value)
            return to_json(data if self._redaction is None else self._redaction.hide(data))
        except Unsupported as error:
            self._refuse(name, what, str(error), type(value))
        except RecursionError:
            self._refuse(name, what, "something that is nested too deep, or contains itself", type(value))
        except Exception as error:  # of an attribute that was never set, or of a serializer or a class of the program's
            self._refuse(name, what, f"something of which this was raised: {shown(error)}", type(value))

    def _learn(self, name: str, value: Any) -> None:
        """Know a value again that is kept out, where an error quotes it."""
        if self._redaction is None or name not in self.redact:
            return
        with suppress(Exception):  # of its class
            self._redaction.learn(name, str(value))
        self._learn_parts(self._redaction, name, value, deep=8)

    def _learn_parts(self, redaction: Redaction, name: str, value: Any, deep: int) -> None:
        """The same for what is in a value that is no plain data: an error may quote a part of it."""
        with suppress(Exception):
            redaction.learn(name, self.serializer.encode(value))
            return
        with suppress(Exception):  # of its class
            holds = isinstance(value, Mapping | list | tuple | set | frozenset | deque)
            parts = _attributes(value) if not holds else value.values() if isinstance(value, Mapping) else value
            for part in list(parts) if deep else ():
                self._learn_parts(redaction, name, part, deep - 1 if holds else 0)

    def _refuse(self, name: str, what: str, why: str, kind: type) -> NoReturn:
        full = f"{name!r} of {what}"
        reason = f"cannot record {full}: it is, or contains, {why}. Give plain data that identify it{self.advice(name)}"
        raise NotRecordable(self.path, reason, full, kind.__qualname__) from None

    def advice(self, name: str) -> str:
        """What else helps where a value is no plain data, to be added to a message."""
        known = "; or let the journal know it, Journal(..., serializer=...)"
        if name == "result":
            return known
        return f"{known}, or keep it out of the file: Journal(..., resources={{{name!r}: make_it}})"

    def arguments(self, definition: Definition, record: Record, what: str) -> str:
        """The arguments of a call, as a JSON object by the names of the parameters."""
        names, shape = definition.parameters.names, definition.parameters.shape
        if not names:
            return "{}"
        heads = self._heads.get(names)
        if heads is None:
            heads = tuple(f", {to_json(name)}: " for name in names)
            heads = self._heads[names] = "{" + heads[0][2:], *heads[1:]
        texts: list[str] = []
        last = len(names) - 1 if shape.var_keyword else -1
        for place, name in enumerate(names):
            value = record[VALUES + place]
            texts.append(heads[place])
            if place == last and name not in self.redact:
                texts.append(self._object(value, what))
            else:
                texts.append(self.value(value, name, what))
        texts.append("}")
        return "".join(texts)

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str) -> str:
        """The arguments of a plain call, as a JSON list of the positional and the keyword ones."""
        names, more = self._names_of_call(function, args, kwargs)
        texts = [self.value(value, name, what) for name, value in zip(names, args, strict=True)]
        named = [f"{to_json(key)}: {self.value(kwargs[key], name, what)}" for key, name in more.items()]
        return f"[[{', '.join(texts)}], {{{', '.join(named)}}}]"

    def learn_call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Know again what is kept out of a call that is not recorded itself."""
        if self._redaction is not None:
            names, more = self._names_of_call(function, args, kwargs)
            for name, value in (*zip(names, args, strict=True), *((more[key], kwargs[key]) for key in kwargs)):
                self._learn(name, value)

    def _names_of_call(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[list[str], dict[str, str]]:
        """The names by which the arguments of a plain call are kept out: those of ``*card`` and ``**card`` as well."""
        try:
            parameters = [*signature_of(function).parameters.values()]
        except ValueError:
            parameters = []
        by_kind: dict[Any, list[str]] = {}
        for each in parameters:
            by_kind.setdefault(each.kind, []).append(each.name)
        rest, more = (by_kind.get(kind, [""])[0] for kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD))
        names = [each.name for each in parameters if each.kind < Parameter.VAR_POSITIONAL][: len(args)]
        names += [rest if rest in self._kept_out else f"argument {place}" for place in range(len(names), len(args))]
        known = {each.name for each in parameters}
        return names, {key: more if more in self.redact and key not in known else key for key in kwargs}

    def saved(self, saved: Mapping[str, Any], what: str) -> str:
        """What a step has saved."""
        return self._object(saved, what)

    def _object(self, values: Mapping[str, Any], what: str) -> str:
        texts = (f"{to_json(str(name))}: {self.value(value, name, what)}" for name, value in values.items())
        return f"{{{', '.join(texts)}}}"

    def masked(self, text: str) -> str:
        """A text for the file, without what it quotes of what is kept out."""
        return readable(text if self._redaction is None else self._redaction.text(text))

    def text(self, error: BaseException) -> str:
        """The text of an exception for the file."""
        return self.masked(shown(error))

    def error(self, error: BaseException) -> str:
        """An exception: its class, its arguments if they are plain data, and its text."""
        if isinstance(error, ActionRetryException) and error.__cause__ is not None:
            error = error.__cause__  # which is the error of the step once the policy has given up
        return self.error_itself(error)

    def error_itself(self, error: BaseException, **more: str) -> str:
        """The same, whatever it stands for; with `more` JSON texts by name."""
        texts = {"type": to_json(qualified_name(type(error))), "text": to_json(self.text(error)), **more}
        with suppress(Exception):  # as in `value`; what is left of it is its text
            args = list(error.args)
            if isinstance(error, OSError) and error.filename is not None and len(args) == 2:
                args += [error.filename, None, error.filename2]  # which its `args` do not tell
            texts["args"] = to_json(self._quoting_nothing(self.serializer.encode(args)))
            texts["attributes"] = to_json(self._quoting_nothing(self.serializer.encode(dict(vars(error)))))
        return "{" + ", ".join(f'"{name}": {text}' for name, text in texts.items()) + "}"

    def _quoting_nothing(self, data: Any) -> Any:
        return data if self._redaction is None else self._redaction.texts_in(self._redaction.hide(data))

    # -- reading

    def _decode(self, data: Any, made: Mapping[str, Any]) -> Any:
        if isinstance(data, dict) and len(data) == 1:
            if "$resource" in data:
                name = data["$resource"]
                return made.get(
                    name, Missing(f"there is no resource {name!r}: Journal(..., resources={{{name!r}: ...}})")
                )
            if "$redacted" in data:
                return Missing(f"{data['$redacted']!r} is kept out of the file (redact)")
        name = redacted_in(data)
        if name is not None:
            return Missing(f"{name!r} in it is kept out of the file (redact)")
        refusal = None if self._place is None else self._place.refusal(data)
        if refusal is not None:
            return Missing(refusal)
        try:
            return self.serializer.decode(data)
        except Exception as error:
            return Missing(f"it cannot be read: {shown(error)}")

    def of_call(self, definition: Definition, text: str, made: Mapping[str, Any]) -> list[Any]:
        """The values of a call in the order of a record, with `Missing` ones among them."""
        data = self._parsed(text)
        parameters = definition.parameters
        names, shape = parameters.names, parameters.shape
        defaults = dict(parameters.keyword_defaults)
        positional = names[: parameters.positional]
        if parameters.defaults:
            defaults.update(zip(positional[-len(parameters.defaults) :], parameters.defaults, strict=True))
        values: list[Any] = []
        for place, name in enumerate(names):
            if name not in data:
                empty: Any = {} if shape.var_keyword and place == len(names) - 1 else ()
                default = defaults.get(name, Missing(f"{definition.name} had no parameter {name!r} then"))
                values.append(default if place < len(names) - shape.var_keyword - shape.var_positional else empty)
            elif shape.var_keyword and place == len(names) - 1 and "$redacted" not in data[name]:
                values.append({key: self._decode(item, made) for key, item in data[name].items()})
            else:
                value, kind = self._decode(data[name], made), place - len(names) + shape.var_keyword
                if isinstance(value, Missing) and kind >= 0:  # of `**name`
                    value = {name: value}
                elif isinstance(value, Missing) and shape.var_positional and kind == -1:
                    value = (value,)
                values.append(value)
        return values

    def called(self, text: str, made: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a plain call.

        Raises:
            NotRestorable: if one of them is missing.
        """
        args, kwargs = json.loads(text)
        values = [self._decode(item, made) for item in args]
        named = {name: self._decode(item, made) for name, item in kwargs.items()}
        for value in (*values, *named.values()):
            if isinstance(value, Missing):
                raise NotRestorable(self.path, value.reason)
        return tuple(values), named

    def _parsed(self, text: str) -> dict[str, Any]:
        data = json.loads(text)
        if not isinstance(data, dict):
            raise NotRestorable(self.path, "the recorded arguments are no JSON object")
        return data

    def read_value(self, text: str) -> Any:
        """One value, or a `Missing`."""
        return self._decode(json.loads(text), {})

    def read_saved(self, text: str | None) -> dict[str, Any]:
        """What a step has saved."""
        return {} if text is None else {name: self._decode(item, {}) for name, item in self._parsed(text).items()}

    def read_error(self, text: str) -> BaseException:
        """The exception again, made without its constructor, or a `RecordedError`."""
        data = self._parsed(text)
        for kind in find(data["type"]):
            if isinstance(kind, type) and issubclass(kind, BaseException):
                args = self._decode(data.get("args", [data["text"]]), {})
                try:
                    made = kind.__new__(kind, *args)
                    made.args = tuple(args[:2] if isinstance(made, OSError) and len(args) == 5 else args)
                    vars(made).update(self._decode(data.get("attributes", {}), {}))
                except Exception:
                    break
                return made
        return RecordedError(data["text"])
