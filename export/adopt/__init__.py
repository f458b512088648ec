"""Adoption: files with explicit state that stepcell did not make get a manifest, and every command works on them."""

from .adopt import Adopted, adopt
from .infer_mapping import GivenRoles, InferredMapping, infer_mapping

__all__ = ["Adopted", "GivenRoles", "InferredMapping", "adopt", "infer_mapping"]
