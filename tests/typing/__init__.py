"""Files for the type checkers, which no test imports: `test_typing.py` runs mypy and pyright on them.

`assert_type` says what a spelling must be.  Each `type: ignore` (mypy's) and `pyright: ignore` stands over a mistake
that must be found, *planted* there, or over a known limit, which a comment then names; unused ones are errors.
"""
