"""The journal: what is on disk before a step runs, and what recovery makes of it."""
