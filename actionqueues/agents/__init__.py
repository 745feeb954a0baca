"""Tools for agents: actions that a model calls, and can take back.

*An agent works in one transaction, and its tools are the actions of that: what a model has done is undone if it fails,
and as far back as the model asks.*  Nothing here needs a framework, and no framework needs an adapter: `tools` makes
plain functions, which MCP, LangChain and LangGraph, pydantic-ai and openai-agents take as they are.  `examples/agents/`
has a program for each.  They take an action itself as well, whose calls are steps where the framework runs its tools in
the context of the block; but nobody is asked then, and the model cannot go back.

**Errors.**  An action that raises is undone at once, and alone.  What is `mendable` is told to the model as the answer
of the tool, in all frameworks alike.  Other exceptions go on to the framework, which has a convention of its own:

- MCP: the model is told the text of a `ToolError`, and of any other that the tool has failed.
- LangGraph: a `ToolNode` tells what its ``handle_tool_errors`` says; by default all but bad arguments end the run.
- pydantic-ai: the model is told of a `ModelRetry`, as often as the tool may be tried again; any other ends the run.
- openai-agents: the model is told that the tool has failed, or what ``function_tool(failure_error_function=...)`` says.

What ends the run leaves the block, if nobody catches it, and then all of it is undone.  What a framework raises in
order to stop and go on later (LangGraph's ``interrupt()``, `ApprovalRequired` and `CallDeferred` of pydantic-ai, an
`UrlElicitationRequiredError` of MCP) reaches it, whatever is `mendable`, and is no refusal in ``approve=``.  So a gate
may ask a person by these: go on with the run in the same block.  LangGraph then runs the interrupted node again as a
whole, and the other calls of that answer a second time, unless each is sent to a node of its own: an edge that returns
``[Send("tools", [call]) for call in state["messages"][-1].tool_calls]``.

**What cannot be undone** is asked for (``tools(approve=...)``), or waits: ``@action(irreversible=True, when="commit")``
runs once the block has been left normally.  Nobody is asked about what an action calls inside: one that pays on its
way is declared irreversible itself.

**What a model passes and reads.**  It passes arguments by name.  Names that begin with ``_`` are refused here, and
LangChain and LangGraph use ``config``, ``callbacks``, ``run_manager``, ``runtime``, ``args`` and ``kwargs`` themselves,
and do not pass these on.  A result that a framework cannot encode is an error there, though the step has been done:
return what JSON can say.

**Who calls.**  Enter the block by ``async with``, if the framework has an event loop: then tools may be called from any
task of that, and sync ones from any thread.  In a ``with`` block, tools may be called from any thread, but `checkpoint`
and `undo_to` only from the one that has entered it.  A server that makes its tools once gives `tools` what finds the
transaction of a call: `current_transaction`, where its tasks inherit the context of the block that their session is in,
or the ``get`` of a `ContextVar` that a middleware sets for each request.  A server of MCP over HTTP has one lifespan
for all clients, and sees no end of a session: `examples/agents/over_http.py` shows how each has a transaction
nonetheless.  A client of MCP over stdio kills a server that has not ended within two seconds, say because it is undoing
what that client has left: give such a transaction a journal, and let the server recover when it starts.
"""

from .binding import tools as tools
from .explaining import Explanation as Explanation
from .explaining import explain as explain

__all__ = ["Explanation", "explain", "tools"]
