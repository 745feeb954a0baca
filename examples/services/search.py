"""A search service with one index a country, and its client.

An index that has grown to its limit turns read-only, for deletions too, until an operator unlocks
it. That is how Elasticsearch protects a disk that is nearly full, and it is the kind of thing that
makes an undo fail: the very document that has to go is the one that filled the index.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from services.json_http import HTTPStatusError, Json, JSONService, Request, call


class SearchService(JSONService):
    def __init__(self, limits: Mapping[str, int]) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._limits = limits
        self._indices: dict[str, dict[str, Json]] = {}
        self._locked: set[str] = set()

    def answer(self, request: Request) -> tuple[int, Json]:
        index, _, document = request.path.lstrip("/").partition("/")
        with self._lock:
            documents = self._indices.setdefault(index, {})
            match request.method, document:
                case "GET", "_all":
                    return 200, {"documents": list(documents.values())}
                case "GET", "":
                    return 200, {"indices": sorted(name for name in self._indices if name)}
                case "POST", "_unlock":
                    self._locked.discard(index)
                    return 200, {}
                case "PUT", _:
                    self._refuse_if_locked(index)
                    documents[document] = request.body
                    if len(documents) >= self._limits.get(index, 1_000_000):
                        self._locked.add(index)
                    return 201, {}
                case "DELETE", _ if document in documents:
                    self._refuse_if_locked(index)
                    del documents[document]
                    return 200, {}
                case _:
                    raise HTTPStatusError(404, f"no such document: {request.path}")

    def _refuse_if_locked(self, index: str) -> None:
        if index in self._locked:
            raise HTTPStatusError(403, f"index '{index}' is full and read-only")


class Search:
    """The client. Deleting what is not there is a success: the document is gone."""

    def __init__(self, port: int) -> None:
        self._port = port

    def put(self, index: str, document: str, body: Json) -> None:
        call(self._port, "PUT", f"/{index}/{document}", body)

    def delete(self, index: str, document: str) -> None:
        try:
            call(self._port, "DELETE", f"/{index}/{document}")
        except HTTPStatusError as error:
            if error.status != 404:
                raise

    def unlock(self, index: str) -> None:
        call(self._port, "POST", f"/{index}/_unlock", {})

    def documents(self) -> list[Json]:
        """Every document of every index."""
        indices = call(self._port, "GET", "/")["indices"]
        return [
            document
            for index in indices
            for document in call(self._port, "GET", f"/{index}/_all")["documents"]
        ]
