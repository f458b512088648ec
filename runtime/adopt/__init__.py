"""Adoption: files with explicit state that stepcell did not make get a manifest, and every command works on them."""

from .adoption import Adopted, adopt
from .proposal import Proposal, propose

__all__ = ["Adopted", "Proposal", "adopt", "propose"]
