"""Reports as plain data, of all the sorts that a view has to draw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

#: When all of these began.
T0 = 1764467000.0

NAMES = ("undone", "skipped", "not_undone", "abandoned", "dropped", "left", "hooks_not_run", "never_awaited")
Entry = dict[str, Any]


def entry(name: str, arguments: str = "", **facts: Any) -> Entry:
    """A step that is done; `at` and `undone_at` are pairs of seconds since the beginning."""
    started, ended = facts.pop("at", (None, None))
    undo_started, undo_ended = facts.pop("undone_at", (None, None))

    def time(seconds: float | None) -> float | None:
        return None if seconds is None else T0 + seconds

    whole: Entry = {
        "number": 0,
        "kind": "step",
        "name": name,
        "arguments": arguments,
        "state": "done",
        "attempts": 1,
        "error": None,
        "undo": None,
        "undo_attempts": 0,
        "undo_error": None,
        "reason": None,
        "key": None,
        "queued": None,
        "started": time(started),
        "ended": time(ended),
        "undo_started": time(undo_started),
        "undo_ended": time(undo_ended),
        "contains": [],
    }
    if "undo" in facts and facts["undo"] not in (None, "running", "not undone", "skipped", "abandoned"):
        whole["undo_attempts"] = 1
    return whole | facts


def savepoint(name: str, contains: Sequence[Entry], **facts: Any) -> Entry:
    facts = {"kind": "savepoint", "state": "released", "attempts": 0, "contains": list(contains), **facts}
    return entry(name, **facts)


def report(name: str, state: str, steps: Sequence[Entry], **facts: Any) -> dict[str, Any]:
    """The whole, with what follows from its steps; those are numbered in order."""
    whole: dict[str, Any] = {
        "format": 1,
        "kind": "transaction",
        "name": name,
        "id": None,
        "state": state,
        "error": None,
        "started": None,
        "ended": None,
        "steps": list(steps),
        **{kind: [] for kind in NAMES},
        "failures": [],
        "conflicts": [],
        "hooks": [],
        "hook_failures": [],
        "journal_failures": [],
        "reason": None,
    }
    every = all_of(steps)
    for number, each in enumerate(every, 1):
        each["number"] = number
    for each in reversed(every):
        undo, told = each["undo"], {"step": each["name"], "error": each["undo_error"]}
        if undo == "undone":
            whole["undone"].append(each["name"])
        elif undo in ("skipped", "not undone", "abandoned"):
            whole[undo.replace(" ", "_")].append(each["name"])
        elif undo in ("undo failed", "conflict"):
            whole["failures" if undo == "undo failed" else "conflicts"].append(told)
        if each["state"] == "dropped":
            whole["dropped"].insert(0, each["name"])
    failed = [told["step"] for told in (*whole["failures"], *whole["conflicts"])]
    whole["left"] = [*whole["not_undone"], *whole["skipped"], *failed, *whole["abandoned"]]
    whole |= facts
    whole["hook_failures"] = [
        {"hook": h["name"], "error": h["error"]} for h in whole["hooks"] if h["state"] == "failed"
    ]
    whole["hooks_not_run"] = [h["name"] for h in whole["hooks"] if h["state"] == "not run"]
    return {**whole, "clean": not whole["left"]}


def all_of(steps: Sequence[Entry]) -> list[Entry]:
    """The entries and all that they contain, in order of start; nested as deep as they like."""
    found: list[Entry] = []
    todo = list(reversed(steps))
    while todo:
        each = todo.pop()
        found.append(each)
        todo += reversed(each["contains"])
    return found


def happy() -> dict[str, Any]:
    """All went well, watched, with a hook."""
    steps = [
        entry("create_user", "email='ada@example.com'", at=(0.0, 0.012)),
        entry("make_home", "name='ada'", at=(0.013, 0.016)),
        entry("charge", "card='4…', amount=900", at=(0.017, 0.42), key="6f1c2e"),
        entry("send_welcome", "user=17", at=(0.43, 0.51), queued=T0 + 0.001),
    ]
    hooks = [{"name": "increment", "state": "done", "error": None}]
    return report("sign-up", "committed", steps, id=17, started=T0, ended=T0 + 0.52, hooks=hooks)


def rolled_back() -> dict[str, Any]:
    """A step failed; one that is before it has no undo, one was queued."""
    steps = [
        entry("create_user", "email='ada@example.com'", at=(0.0, 0.012), undo="undone", undone_at=(0.53, 0.54)),
        entry("make_home", "name='ada'", at=(0.013, 0.016), undo="undone", undone_at=(0.52, 0.53)),
        entry("mail", "to='ada@example.com'", at=(0.017, 0.3), undo="not undone", reason="no rollback handler"),
        entry(
            "charge",
            "card='4…', amount=900",
            at=(0.31, 0.5),
            state="failed",
            error="ConnectionError('gateway')",
            undo="undone",
            undone_at=(0.5, 0.52),
        ),
        entry("send_welcome", "user=17", state="dropped", attempts=0, queued=T0 + 0.014),
    ]
    error = "ConnectionError('gateway')"
    return report("sign-up", "rolled back", steps, id=18, error=error, started=T0, ended=T0 + 0.55)


def failing_undo() -> dict[str, Any]:
    """Of the undos one fails, one finds a conflict, one cannot be called, and one is cut short."""
    steps = [
        entry("reserve", "item='tea'", undo="abandoned"),
        entry("charge", "card='4…', amount=900", undo="undo failed", undo_attempts=3, undo_error="OSError('no route')"),
        entry("set_price", "item='tea', price=3", undo="conflict", undo_error="RollbackConflict('it is 4 by now')"),
        entry(
            "print_label",
            "address='the moon'",
            state="failed",
            error="LookupError('no courier')",
            undo="skipped",
            reason="needs its result, which it does not have",
        ),
        entry("pack", "item='tea'", undo="undone"),
        entry("ship", "address='the moon'", state="failed", error="ConnectionError('no courier')", undo="undone"),
    ]
    return report("order", "rolled back with failures", steps, error="ConnectionError('no courier')")


def retries() -> dict[str, Any]:
    """Some needed more than one attempt, and one gave up."""
    steps = [
        entry("download", "url='https://example.com/a'", at=(0, 1.2), attempts=3, undo="undone", undone_at=(94, 94.1)),
        entry("convert", "path='a.png'", at=(1.2, 3.5), undo="undone", undo_attempts=4, undone_at=(90, 94)),
        entry(
            "upload",
            "path='a.webp'",
            at=(4, 89),
            attempts=10,
            state="failed",
            error="TimeoutError('no answer in 10 s')",
            undo="undone",
            undone_at=(89, 90),
        ),
    ]
    return report("publish", "rolled back", steps, error="TimeoutError('no answer in 10 s')", started=T0, ended=T0 + 95)


def nested() -> dict[str, Any]:
    """Savepoints in savepoints: one released, one undone, and a step by hand."""
    fallback = [
        entry("note", "text='Rome, full'", undo="undone"),
        entry("book", "hotel='full'", state="failed", error="LookupError('no room in full')", undo="undone"),
    ]
    steps = [
        entry("open_trip", "name='Rome'"),
        savepoint("try full", fallback, state="rolled back", error="LookupError('no room in full')"),
        savepoint(
            "try free",
            [
                entry("book", "hotel='free'"),
                savepoint("extras", [entry("breakfast"), entry("parking", "days=3", attempts=2)]),
                entry("remove_draft", "'/tmp/trip'", kind="by hand"),
            ],
        ),
        entry("pay", "amount=900"),
    ]
    return report("trip", "committed", steps)


def fan_out(count: int = 20) -> dict[str, Any]:
    """So many at the same time, of which the last but one fails; undone one by one."""
    steps = [entry("plan", f"parts={count}", at=(0, 0.1), undo="undone", undone_at=(3 + count / 10, 4 + count / 10))]
    for number in range(count):
        fails = number == count - 2
        facts: dict[str, Any] = {"at": (0.2 + number / 100, 2.5 - number / 50), "undone_at": (0, 0)}
        late = 2.9 + (count - number) / 10
        facts |= {"undone_at": (late, late + 0.1), "undo": "undone"}
        if fails:
            facts |= {"state": "failed", "error": "OSError('disk full')", "undone_at": (2.8, 2.85)}
        steps.append(entry("fetch", f"part={number}", **facts))
    return report("mirror", "rolled back", steps, error="OSError('disk full')", started=T0, ended=T0 + 5 + count / 10)


@cache
def huge(count: int = 10_000) -> dict[str, Any]:
    """So many uploads, of which a few were retried, one has no undo, and the last fails."""
    steps: list[Entry] = []
    for number in range(count):
        at = number * 0.01, number * 0.01 + 0.009
        late = count * 0.01 + (count - number) * 0.01
        facts: dict[str, Any] = {"at": at, "undo": "undone", "undone_at": (late, late + 0.01)}
        if number % 4000 == 2000:
            facts["attempts"] = 3
        if number == count // 2:
            facts |= {"undo": "not undone", "reason": "irreversible", "undone_at": (None, None)}
        if number == count - 1:
            facts |= {"state": "failed", "error": "ConnectionError('reset by peer')"}
        steps.append(entry("upload", f"path='{number:05}.png'", **facts))
    return report("import", "rolled back", steps, error="ConnectionError('reset by peer')")


HOSTILE = (
    "<script>alert(1)</script>",
    "a \"quoted\" 'name' & more ]]> --> `x`; end",
    "two\nlines\r\nand\ta tab\x0b\x0c\x85\u2028\u2029",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J",
    "abc\u202egnp.exe\u2066\u2069\u200f\u061c\u200b\ufeff",
    "lone \ud800 and \udfff",
    "nul \x00 bell \x07 del \x7f back \x08\x08",
    "東京都の長い名前 한국어 \uff46\uff55\uff4c\uff4c",
    "e\u0301a\u0300" + "z\u0351\u036b\u0343" * 20,
    "👩\u200d👩\u200d👧 ❤\ufe0f 🇩🇪",
    "\u05e2\u05d1\u05e8\u05d9\u05ea \u0639\u0631\u0628\u064a",
    "x" * 5000,
    "",
    " \u3000\xa0 ",
    "{{ template }} ${shell} %s %(x)s {0} \\n \\",
    "\ue000\uffff\U0010ffff\U000e0041",
    "end\ngraph TD; A-->B\n```\n# heading\n|a|b|",
)


def hostile() -> dict[str, Any]:
    """Names, arguments and errors that would break out of a drawing."""
    steps: list[Entry] = []
    for number, text in enumerate(HOSTILE):
        other = HOSTILE[-number - 1]
        if number % 3 == 0:
            steps.append(entry(text, other, undo="undone"))
        elif number % 3 == 1:
            steps.append(entry(text, other, undo="not undone", reason=other))
        else:
            steps.append(entry(text, other, state="failed", error=text, undo="undo failed", undo_error=other))
    inside = savepoint(HOSTILE[0], [entry(text) for text in HOSTILE])
    hooks = [{"name": HOSTILE[2], "state": "failed", "error": HOSTILE[3]}]
    facts = {"error": HOSTILE[3], "reason": HOSTILE[2], "hooks": hooks, "never_awaited": [HOSTILE[4]]}
    facts["journal_failures"] = [HOSTILE[3]]
    return report(HOSTILE[3] + HOSTILE[4], "rolled back with failures", [*steps, inside], **facts)


def queue() -> dict[str, Any]:
    """A classic queue that stopped in the middle and has not been rolled back yet."""
    steps = [
        entry("CreateFile", "'/srv/a'"),
        entry("CopyFile", "'/srv/a', '/srv/b'", attempts=2),
        entry("Chown", "'/srv/b'", state="failed", error="PermissionError(1, 'not permitted')"),
        entry("Restart", "'web'", state="queued", attempts=0),
        entry("Notify", "'ops'", state="queued", attempts=0),
    ]
    return report("ActionQueue", "execute", steps, kind="queue")


def from_journal_stuck() -> dict[str, Any]:
    """What a dead process has left, and recovery could not undo."""
    steps = [
        entry("create_user", "email='ada@example.com'", key="a1", undo="undone"),
        entry(
            "charge", "card='***', amount=900", key="b2", undo="undo failed", undo_error="OSError('x')", undo_attempts=5
        ),
        entry("ship", "address='the moon'", key="c3", state="unknown", undo="not landed"),
    ]
    facts = {"id": 4, "started": T0, "ended": None, "reason": "the undo of charge failed 5 times: OSError('x')"}
    hooks = [{"name": "send_receipt", "state": "not run", "error": None}]
    return report("order", "stuck", steps, hooks=hooks, **facts)


def live() -> dict[str, Any]:
    """A transaction in the middle of its work."""
    steps = [
        entry("plan", "parts=3", at=(0, 0.1)),
        entry("fetch", "part=0", at=(0.2, 0.9)),
        entry("fetch", "part=1", at=(0.21, None), state="running"),
        entry("fetch", "part=2", at=(0.22, None), state="running", attempts=2, error="TimeoutError()"),
        entry("publish", "", state="queued", attempts=0, queued=T0 + 0.15),
    ]
    return report("mirror", "open", steps, id=23, started=T0)


def empty() -> dict[str, Any]:
    """Nothing was done."""
    return report("nothing", "committed", [])


SAMPLES = {
    each.__name__: each
    for each in (
        happy,
        rolled_back,
        failing_undo,
        retries,
        nested,
        fan_out,
        hostile,
        queue,
        from_journal_stuck,
        live,
        empty,
    )
}
SAMPLES["huge"] = huge
