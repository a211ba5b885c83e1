"""What a finished run leaves behind: arrays, pictures, a table, one HTML page, `result.json`."""

from __future__ import annotations

from untrained.report.save import save_result, summary
from untrained.report.training import save_training

__all__ = ["save_result", "save_training", "summary"]
