"""Tell before deployment whether a file will load and run on a machine, and what to install there."""

from .diagnosis import Diagnosis, Finding, diagnose
from .packages import TARGET_NAMES, find_target
from .report import as_json, as_text

__all__ = ["TARGET_NAMES", "Diagnosis", "Finding", "as_json", "as_text", "diagnose", "find_target"]
