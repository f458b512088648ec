"""Adoption: files with explicit state that stepcell did not make get a manifest, and every command works on them."""

from .adoption import Adopted, adopt
from .proposal import Proposal, propose
from .symbols import read_symbols

__all__ = ["Adopted", "Proposal", "adopt", "propose", "read_symbols"]
