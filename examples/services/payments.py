"""A payment service with a ledger of its own, and the client the sign-up talks to it with.

What it promises is what a real one promises. The same idempotency key is charged once, however
often it is sent. A refund names the key of the charge, so a caller that never saw the answer can
still ask for it. And a key that was refunded before its charge came in is cancelled: a request
that was late on the wire takes no money afterwards.

The card number says how the bank behaves, as test card numbers do everywhere:

    tok_refused      the bank declines
    tok_flaky_503    503 three times, then fine
    tok_dropped      the money is taken, and the connection closed before the answer
    anything else    fine
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from pathlib import Path

from services.json_http import DropConnection, HTTPStatusError, Json, JSONService, Request, call

SCHEMA = """
CREATE TABLE charges (
    key TEXT PRIMARY KEY, card TEXT NOT NULL, cents INTEGER NOT NULL, reference TEXT NOT NULL);
CREATE TABLE refunds (key TEXT PRIMARY KEY, charge TEXT NOT NULL UNIQUE REFERENCES charges);
CREATE TABLE cancelled (key TEXT PRIMARY KEY);
"""


class PaymentRefused(Exception):
    """The bank said no; trying again would not help."""


class PaymentUnavailable(Exception):
    """The service is busy; the same request may be sent again."""


class PaymentService(JSONService):
    def __init__(self, ledger: Path) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._busy = Counter[str]()
        self._ledger = sqlite3.connect(ledger, check_same_thread=False, isolation_level=None)
        self._ledger.executescript(SCHEMA)

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__(*exc_info)
        self._ledger.close()

    def answer(self, request: Request) -> tuple[int, Json]:
        key, body = request.key, request.body
        with self._lock:
            match request.method, request.path:
                case "POST", "/charges":
                    return self._charge(key, body["card"], body["cents"], body["reference"])
                case "POST", "/refunds":
                    return self._refund(key, body["charge"])
                case "GET", "/ledger":
                    return 200, {"entries": self._entries()}
                case _:
                    raise HTTPStatusError(404, f"no such page: {request.path}")

    def _charge(self, key: str, card: str, cents: int, reference: str) -> tuple[int, Json]:
        if not key:
            raise HTTPStatusError(400, "a charge needs an Idempotency-Key")
        if card == "tok_flaky_503" and self._busy[key] < 3:
            self._busy[key] += 1
            raise HTTPStatusError(503, "try again later")
        if card == "tok_refused":
            raise HTTPStatusError(402, "card declined")
        if self._ledger.execute("SELECT 1 FROM cancelled WHERE key = ?", (key,)).fetchone():
            raise HTTPStatusError(409, "this key was cancelled")
        asked = (key, card, cents, reference)
        self._ledger.execute("INSERT OR IGNORE INTO charges VALUES (?, ?, ?, ?)", asked)
        if self._ledger.execute("SELECT * FROM charges WHERE key = ?", (key,)).fetchone() != asked:
            raise HTTPStatusError(409, "this key was used for another charge")
        if card == "tok_dropped":
            raise DropConnection
        return 201, {"charge": key}

    def _refund(self, key: str, charge: str) -> tuple[int, Json]:
        if not key:
            raise HTTPStatusError(400, "a refund needs an Idempotency-Key")
        row = self._ledger.execute("SELECT cents FROM charges WHERE key = ?", (charge,)).fetchone()
        if row is None:
            self._ledger.execute("INSERT OR IGNORE INTO cancelled VALUES (?)", (charge,))
            return 200, {"refunded": 0}
        # charge is UNIQUE: a second refund of one charge changes nothing, under whatever key.
        self._ledger.execute("INSERT OR IGNORE INTO refunds VALUES (?, ?)", (key, charge))
        return 200, {"refunded": row[0]}

    def _entries(self) -> list[Json]:
        rows = self._ledger.execute(
            "SELECT reference, cents, refunds.key IS NOT NULL FROM charges"
            " LEFT JOIN refunds ON refunds.charge = charges.key ORDER BY charges.rowid"
        )
        return [{"reference": r, "cents": c, "refunded": bool(back)} for r, c, back in rows]


class Payments:
    """The client. Each call is one request; it retries nothing by itself."""

    def __init__(self, port: int) -> None:
        self._port = port

    def charge(self, card: str, cents: int, reference: str, *, idempotency_key: str) -> str:
        """Take the money and return the charge's id.

        Raises `PaymentRefused`, `PaymentUnavailable`, or a `ConnectionError`, after which the
        money may or may not have been taken.
        """
        body = {"card": card, "cents": cents, "reference": reference}
        try:
            reply = call(self._port, "POST", "/charges", body, idempotency_key=idempotency_key)
        except HTTPStatusError as error:
            kind = PaymentUnavailable if error.status == 503 else PaymentRefused
            raise kind(str(error)) from error
        return str(reply["charge"])

    def refund_by_key(self, charge_key: str, *, idempotency_key: str) -> int:
        """Give back whatever was charged under `charge_key`; return the cents, 0 for nothing."""
        body = {"charge": charge_key}
        reply = call(self._port, "POST", "/refunds", body, idempotency_key=idempotency_key)
        return int(reply["refunded"])

    def ledger(self) -> list[Json]:
        """Every charge ever made: `reference`, `cents`, and whether it was `refunded`."""
        entries: list[Json] = call(self._port, "GET", "/ledger")["entries"]
        return entries
