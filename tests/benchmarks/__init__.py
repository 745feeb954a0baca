"""What a step costs, as ratios to ``contextlib.ExitStack`` doing the same work in the same run.

``python -m tests.benchmarks`` prints the table, and ``--help`` says what else it takes.
"""
