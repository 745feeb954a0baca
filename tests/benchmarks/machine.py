"""The machine and the day: a figure without them says nothing."""

import os
import platform
from datetime import date
from pathlib import Path


def described() -> str:
    """For instance: 2026-01-31, CPython 3.13.1, Linux x86_64, AMD EPYC 7B13, 2 CPUs."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.machine()}"
    parts = [date.today().isoformat(), python, system, _processor(), f"{os.cpu_count()} CPUs"]
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return " ".join(value.split())
    return platform.processor()
