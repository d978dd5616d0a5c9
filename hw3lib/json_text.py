"""Text that can always be written and printed: also where it holds bytes that are no UTF-8, or half characters."""

from __future__ import annotations

import json
from typing import Any


def json_text(content: Any, indent: int | None = None) -> str:
    """JSON as people read it, or with escapes where it holds half characters, which no UTF-8 file can."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(content, indent=indent)
    return text


def printable(text: str) -> str:
    """The text with half characters, which JSON can hold and no UTF-8 can, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
