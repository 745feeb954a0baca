"""How calls, results and errors are written, and read again.

Stands on the serializer, and on records, whose values it takes in the order of the parameters.  Used by the recording,
and by what makes steps again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn

from actionqueues.core.definition import Definition
from actionqueues.core.signature import signature_of
from actionqueues.core.step import VALUES, Record
from actionqueues.core.text import shown

from .errors import NotRecordable, NotRestorable
from .modules import find, qualified_name
from .serializer import Serializer, Unsupported, quick_json, to_json

__all__ = ["Missing", "RecordedError", "Values", "readable"]

_LONGEST: Final = 4000


def readable(text: str) -> str:
    """Any text as one that a file can hold and a person can read."""
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


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
        redact: the names of parameters that are kept out of the file.
    """

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

    # -- writing

    def value(self, value: Any, name: str, what: str) -> str:
        """One value, such as a result, as JSON.

        Raises:
            NotRecordable: if that cannot be done, whatever the reason.
        """
        if name in self._kept_out:
            return to_json({"$resource" if name in self.resources else "$redacted": name})
        text = quick_json(value) if self._quick else None
        if text is not None:
            return text
        try:
            return to_json(self.serializer.encode(value))
        except Unsupported as error:
            self._refuse(name, what, str(error), type(value))
        except RecursionError:
            self._refuse(name, what, "something that is nested too deep, or contains itself", type(value))
        except Exception as error:  # of an attribute that was never set, or of a serializer or a class of the program's
            self._refuse(name, what, f"something of which this was raised: {shown(error)}", type(value))

    def _refuse(self, name: str, what: str, why: str, kind: type) -> NoReturn:
        full = f"{name!r} of {what}"
        raise NotRecordable(
            self.path,
            f"cannot record {full}: it is, or contains, {why}. Pass plain data that identify it; or keep it out of the "
            f"file with Journal(..., resources={{{name!r}: make_it}})",
            full,
            kind.__qualname__,
        ) from None

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
            if place == last:
                texts.append(self._object(value, what))
            else:
                texts.append(self.value(value, name, what))
        texts.append("}")
        return "".join(texts)

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str) -> str:
        """The arguments of a plain call, as a JSON list of the positional and the keyword ones."""
        try:
            names = list(signature_of(function).parameters)
        except ValueError:
            names = []
        names += [f"argument {place}" for place in range(len(names), len(args))]
        texts = [self.value(value, name, what) for name, value in zip(names, args, strict=False)]
        return f"[[{', '.join(texts)}], {self._object(kwargs, what)}]"

    def saved(self, saved: Mapping[str, Any], what: str) -> str:
        """What a step has saved."""
        return self._object(saved, what)

    def _object(self, values: Mapping[str, Any], what: str) -> str:
        texts = (f"{to_json(str(name))}: {self.value(value, name, what)}" for name, value in values.items())
        return f"{{{', '.join(texts)}}}"

    def error(self, error: BaseException) -> str:
        """An exception: its class, its arguments if they are plain data, and its text."""
        texts = {"type": to_json(qualified_name(type(error))), "text": to_json(readable(shown(error)))}
        with suppress(Exception):  # as in `value`; what is left of it is its text
            args = list(error.args)
            if isinstance(error, OSError) and error.filename is not None and len(args) == 2:
                args += [error.filename, None, error.filename2]  # which its `args` do not tell
            texts["args"] = to_json(self.serializer.encode(args))
            texts["attributes"] = to_json(self.serializer.encode(dict(vars(error))))
        return "{" + ", ".join(f'"{name}": {text}' for name, text in texts.items()) + "}"

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
            elif shape.var_keyword and place == len(names) - 1:
                values.append({key: self._decode(item, made) for key, item in data[name].items()})
            else:
                values.append(self._decode(data[name], made))
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
