"""Who looks on: listeners, and the trace that a report keeps of what is watched.

The core knows nothing of it but the seam that it is attached to (`core/watch.py`), as a journal is.  Importing it
attaches it.
"""

from .progressing import Showing as Showing
from .trace import Trace as Trace

__all__ = ["Showing", "Trace"]
