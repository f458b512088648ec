"""Cases J1 to J5: predictions, labels and judgements."""

from __future__ import annotations
