"""What several commands share: sizes in bytes, profiles, examples in the help."""

from __future__ import annotations

import argparse
import re

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}

PROFILES = ("quick", "full")


def _examples(*lines: str) -> str:
    return "Examples:\n" + "\n".join(f"  {line}" for line in lines)


def byte_count(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?b|)", text.strip().lower())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; expected a number of bytes, or such as 500MB or 4GB")
    return int(float(match[1]) * _UNITS[match[2] if match[2] != "b" else ""])
