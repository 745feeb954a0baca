"""A journal as a local page: what is running, what is stuck, one transaction's drawing, and what a person decides.

On starlette and uvicorn, the extra ``serve``: small, well-kept, in most environments already, and strict where the
server in the standard library, which says itself that it is not for production, is not: malformed requests, slow ones,
and ending in order on Ctrl-C.

Everything is made for one person at one machine.  The server listens on the loopback interface only.  The address that
is printed has a token behind its ``#``, which a browser sends to nobody; the page keeps it for its tab, and sends it
with each request as a header.  Unlike a cookie, which every program on another port of this machine would be sent as
well, a header is never sent unasked, so that no other page can act in somebody's name.

Stands on `Journal` and the views.  Used by the command.
"""
