"""The notebooks of docs/labs, one a lab; `python tests/helpers/lab_notebooks.py` writes them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from untrained.lab import LABS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "labs"


def cells(name: str) -> list[tuple[str, str]]:
    """(kind, text) of each cell: the statement, the run, the table, the picture, the curves."""
    lab = LABS[name]
    statement = inspect.getdoc(lab.run) or ""
    run = (
        "from untrained.lab import LABS, table\n\n"
        f'lab = LABS["{name}"]\n'
        "seed, full = 0, False  # full=True: the size of the command line\n"
        "result = lab.run(seed, full)"
    )
    picture = (
        "from matplotlib.figure import Figure\n\n"
        'figure = Figure(figsize=(9.5, 3.4), layout="constrained")\n'
        "result.draw(figure)\n"
        "figure"
    )
    return [
        ("markdown", f"# {lab.title}\n\n{lab.source}\n\n```\n{statement}\n```"),
        ("code", run),
        ("markdown", "What the statement predicts, beside what was found:"),
        ("code", "print(table(result))"),
        ("code", picture),
        ("markdown", "The numbers behind it: `result.curves` (equal lengths) and `result.arrays`."),
        ("code", "{key: value.shape for key, value in {**result.curves, **result.arrays}.items()}"),
    ]


def notebook(name: str) -> str:
    """The notebook as text: version 4.5 of the format, without outputs."""
    made = []
    for number, (kind, text) in enumerate(cells(name)):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(cell | {"source": text.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": made,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1) + "\n"


if __name__ == "__main__":
    for lab in LABS:
        (FOLDER / f"{lab}.ipynb").write_text(notebook(lab), encoding="utf-8")
