"""``python -m actionqueues``: the command, where its script is not installed."""

import sys

from .cli import main

__all__: list[str] = []

if __name__ == "__main__":  # pragma: no cover - in processes of its own
    sys.exit(main())
