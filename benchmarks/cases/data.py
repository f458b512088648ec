"""Cases D1 to D25: data that are misread."""

from __future__ import annotations
