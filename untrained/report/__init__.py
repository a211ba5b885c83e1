"""What a finished run leaves behind: arrays, pictures, a table, one HTML page, `result.json`."""

from __future__ import annotations

from untrained.report.notebook import notebook_html, plot_result
from untrained.report.save import save_result, summary, write_result
from untrained.report.training import write_training

__all__ = [
    "notebook_html",
    "plot_result",
    "save_result",
    "summary",
    "write_result",
    "write_training",
]
