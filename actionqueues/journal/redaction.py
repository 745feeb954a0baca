"""`Redaction`: what is kept out of the file by its name, and out of the texts that quote it.

Stands on what values are as JSON.  Used by what writes them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

from .modules import find

__all__ = ["Redaction", "redacted_in"]

#: A shorter text says too little: to look for "1" would blot out half of each message.  What is shorter than the second
#: number is looked for as a word of its own.
_SHORTEST, _SHORT = 3, 8

#: What is longer is known by its beginning, and nothing behind that is left.
_LONG: Final = 500

#: Printable letters but quotes and backslashes.
_UNCHANGED: Final = r"[ !#-&(-\[\]-~]+"

#: The tags of what begins with the name of a class.
_NAMED: Final = ("$dataclass", "$namedtuple", "$enum", "$reference")

_NO_SECRETS: Final = ("True", "False", "None")


class Redaction:
    """What has been kept out of the file for one transaction.

    Args:
        names: of the parameters, fields and saved values that are kept out.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._texts: dict[str, str] = {}  # the values as texts, and their names

    def learn(self, name: str, data: Any) -> None:
        """Remember a value of that name, as JSON data, or as a text: it is looked for in what is recorded later."""
        for text in _texts_in(data):
            if len(text.strip()) >= _SHORTEST and text not in _NO_SECRETS:
                self._texts[text] = name

    def hide(self, data: Any) -> Any:
        """JSON data without the fields of these names, at any depth."""
        tag: str
        part: Any
        if isinstance(data, list):
            return [self.hide(item) for item in data]
        if not isinstance(data, dict):
            return data
        tag, part = next(iter(data.items())) if len(data) == 1 else ("", None)
        if tag in ("$dict", "$ordered"):
            return {tag: [[self.hide(key), self._hidden(key, value)] for key, value in part]}
        if tag == "$namedtuple":
            fields = next((each._fields for each in find(part[0]) if hasattr(each, "_fields")), ())
            return {tag: [part[0], [self._hidden(*each) for each in zip(fields, part[1], strict=True)]]}
        return {key: self._hidden(key, value) for key, value in data.items()}

    def _hidden(self, key: Any, value: Any) -> Any:
        if not (isinstance(key, str) and key in self.names):
            return self.hide(value)
        self.learn(key, value)
        return {"$redacted": key}

    def text(self, text: str) -> str:
        """A text without what it quotes."""
        texts = list(self._texts.items())  # other threads add some
        for value, name in sorted(texts, key=lambda item: -len(item[0])):
            # What no form of quoting changes has to be there; looking for that takes less than looking for a pattern.
            if max(re.findall(_UNCHANGED, value[:_LONG]), key=len, default="").strip() in text:
                text = re.sub(_quoting(value), f"<{name}>", text)
        return text

    def texts_in(self, data: Any) -> Any:
        """JSON data whose texts and numbers quote nothing that is kept out."""
        if isinstance(data, list):
            return [self.texts_in(item) for item in data]
        if isinstance(data, dict):
            if "$redacted" in data:
                return f"<{data['$redacted']}>"
            return {self.text(key): self.texts_in(value) for key, value in data.items()}
        if isinstance(data, str):
            return self.text(data)
        text = self.text(str(data))
        return data if text == str(data) else text


def redacted_in(data: Any) -> str | None:
    """The name of something in JSON data that is kept out of the file."""
    if isinstance(data, dict) and len(data) == 1 and "$redacted" in data:
        return str(data["$redacted"])
    items: Iterable[Any] = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return next((name for item in items if (name := redacted_in(item)) is not None), None)


def _texts_in(data: Any) -> Iterator[str]:
    """The texts, numbers and bytes in JSON data, as texts."""
    if isinstance(data, dict):
        for key, part in data.items():
            if key in ("$bytes", "$bytearray"):
                content = base64.b64decode(part)
                yield from (content.decode(encoding, "replace") for encoding in ("utf-8", "latin-1"))
            else:
                yield from _texts_in(part[1:] if key in _NAMED else part)
    elif isinstance(data, list):
        yield from chain.from_iterable(map(_texts_in, data))
    elif data is not None:
        yield str(data)


def _quoting(value: str) -> str:
    """A pattern of what quotes a text: as it is, in one line, in a `repr`, in JSON, or in one of these in another."""
    pattern = "".join(map(_pattern_of, re.findall(_PIECES, value[:_LONG])))
    if len(value) > _LONG:
        return rf"{pattern}(?s:.)*"
    return pattern if len(value) >= _SHORT else rf"(?:(?<!\w)|(?<=\\[nrt])){pattern}(?!\w)"


#: Line ends with the white space around them, backslashes in a row, or any other character.
_PIECES: Final = r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*|\\+|(?s:.)"
_ANY_SPACE: Final = r"(?:\s|\\+(?:[nrtfvb]|x[0-9a-f]{2}|u[0-9a-f]{4}))*"


def _pattern_of(piece: str) -> str:
    if len(piece) > 1 or piece.splitlines() == [""]:
        return r"\\+" if piece.startswith("\\") else _ANY_SPACE
    if piece in "\\'\"":
        return r"\\+" if piece == "\\" else rf"\\*{piece}"
    forms = {piece, repr(piece)[1:-1], json.dumps(piece)[1:-1]}
    escaped = [re.escape(form).replace(r"\\", r"\\+") for form in sorted(forms)]
    return escaped[0] if len(escaped) == 1 else f"(?:{'|'.join(escaped)})"
