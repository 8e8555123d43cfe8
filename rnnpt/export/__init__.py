"""A model frozen for serving: a SavedModel with six signatures, and a front to play it here."""

from rnnpt.export._folder import newest_version, next_version
from rnnpt.export._option import ExportError
from rnnpt.export.in_process import load
from rnnpt.export.saved_model import save
from rnnpt.export.verification import verify

__all__ = ["ExportError", "load", "newest_version", "next_version", "save", "verify"]
