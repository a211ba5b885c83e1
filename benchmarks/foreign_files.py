"""Let every command that writes loose on folders of somebody else, and see that nothing changes.

    python benchmarks/foreign_files.py OUT.json [--folders 240]

Runs the property test of tests/cli/test_nothing_lost.py on so many random folders: files, folders
and links by names that a result, a state, an experiment or weights have, and by others.
`reconstruct`, `simulate`, `pretrain`, `demo`, `bench run`, `bench table` and `bench report` take
turns, with `--overwrite`, `--resume` or neither.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

TEST = Path(__file__).resolve().parents[1] / "tests" / "cli" / "test_nothing_lost.py"


class Tally:
    """Counts outcomes of tests."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test when it was called."""
        if report.when == "call" or report.outcome == "skipped":
            self.outcomes[report.outcome] += 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--folders", type=int, default=240)
    given = parser.parse_args()
    tally, began = Tally(), time.monotonic()
    arguments = [str(TEST), "-k", "what_others_left", "--folders", str(given.folders)]
    status = pytest.main([*arguments, "-p", "no:cacheprovider"], plugins=[tally])
    facts = {
        "folders": given.folders,
        "left alone": tally.outcomes["passed"],
        "changed": tally.outcomes["failed"],
        "seconds": round(time.monotonic() - began),
    }
    given.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(facts)
    sys.exit(int(status))
