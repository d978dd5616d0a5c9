"""Text that can always be written and printed: also where it holds bytes that are no UTF-8, or half characters."""

from __future__ import annotations
