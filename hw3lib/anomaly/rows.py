"""Some of many images, without a copy of them."""

from __future__ import annotations
