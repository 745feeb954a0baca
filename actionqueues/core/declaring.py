"""What `@action` is given: which options there are, which make sense together, and the definition that is made of them.

Stands on definitions.  Used by `@action`.
"""

from __future__ import annotations

from typing import Any, Final

from actionqueues.retry import check_policy

from .definition import Definition, all_definitions, definition_behind
from .options import check_flag, check_options, check_seconds
from .signature import display_name, is_async, refuse_lazy, text_attribute

_FLAGS: Final = ("irreversible", "read_only", "transaction_required")
_DEFAULTS = {"retry": None, **dict.fromkeys(_FLAGS, False), "when": None, "timeout": None, "name": None, "aliases": ()}
_DEFAULTS["undo"] = None


def checked_options(options: dict[str, Any]) -> dict[str, Any]:
    """All options, if those that were given exist and make sense."""
    if "undo_timeout" in options:
        raise TypeError("@action has no option 'undo_timeout'; give it to the handler: @fn.rollback(undo_timeout=...)")
    check_options("@action", options, _DEFAULTS)
    options = {**_DEFAULTS, **options}
    if options["retry"] is not None:
        check_policy(options["retry"], "@action(retry=...)")
    for flag in _FLAGS:
        check_flag(f"@action({flag}=...)", options[flag])
    if options["irreversible"] and options["read_only"]:
        raise TypeError("@action(irreversible=True) and @action(read_only=True) exclude each other")
    when, timeout, name, aliases = options["when"], options["timeout"], options["name"], options["aliases"]
    if when is not None:
        _check_when(when, options)
    check_seconds(timeout, "@action(timeout=...)")
    if not isinstance(aliases, tuple | list):
        raise TypeError(f"@action(aliases=...) must be a tuple of names, not {aliases!r}")
    names: list[Any] = [*aliases] if name is None else [name, *aliases]
    for each in names:
        if not isinstance(each, str) or not each or not each.isprintable():
            raise TypeError(f"@action(name=...) and each of aliases=(...) must be a readable text, not {each!r}")
    return options


def _check_when(when: object, options: dict[str, Any]) -> None:
    """Refuse another word than "commit", what waits without need, and options that only a step can keep."""
    if when != "commit":
        raise ValueError(f"@action(when=...) must be 'commit', or not be given: a call runs at once then; not {when!r}")
    if not options["irreversible"]:
        raise TypeError(
            "@action(when='commit') is for what cannot be undone: say so, by irreversible=True; what can be undone "
            "need not wait, and any function is called after the commit by q.on_commit(fn, ...)"
        )
    for option in ("retry", "timeout", "undo"):
        if options[option] is not None:
            raise TypeError(
                f"@action(when='commit') takes no {option}=: its body runs after the commit, when it is no step any "
                "more; put that into the body"
            )


def definition_with(function: Any, hold: Any, *, timeout: float | None, name: str | None, **options: Any) -> Definition:
    """The definition of an action with these options; `TypeError` or `ValueError` says why there can be none."""
    if definition_behind(function) is not None:
        raise TypeError(f"{display_name(function)} is an action already: decorate it once")
    if isinstance(function, type):
        raise TypeError(
            f"@action takes a function, not the class {display_name(function)}, which isinstance(), except and pickle "
            "need as it is; make an action of a function that makes one, or of functools.partial(it)"
        )
    refuse_lazy(function, display_name(function), "make an action of what is done for each item, or on entering")
    if timeout is not None and not is_async(function):
        raise TypeError(
            f"@action(timeout=...) needs an `async def`: nothing can stop the sync function {display_name(function)}; "
            "give a time-out to what it calls"
        )
    others = {_place(each.function) for each in all_definitions() if each.given_name == name} if name else set[str]()
    for place in others - {_place(function)}:  # and not from the same module, loaded again
        raise ValueError(f"@action(name={name!r}) is the name of {place} already; give another one")
    definition = Definition(function, name=name)
    definition.given_name, definition.timeout = name, timeout
    definition.retry, definition.aliases = options["retry"], tuple(options["aliases"])
    for flag in _FLAGS:
        setattr(definition, flag, options[flag])
    if options["when"] is not None:  # the step itself changes nothing: it makes a hook, which goes with it
        definition.hold, definition.read_only = hold, True
    return definition


def _place(function: object) -> str:
    return f"{text_attribute(function, '__module__', None)}:{text_attribute(function, '__qualname__', None)}"
