"""Feed every reader with mutants of a valid file, and see that each is read or refused.

    python benchmarks/fuzz.py OUT.json [--each 300] [--seed 0] [--only NAME]... [--workers 2]

Every mutant goes through the command line: exit status 0, 2 or 130, a refusal of one paragraph that
names the file, no longer than 20 s, no more than 2 GiB for a file under 1 MiB, and no NaN saved.
With `--only` the rows of those readers are replaced in OUT.json, if it is there.
`--show READER NUMBER` runs one mutant here and prints what was said.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzzing import pool
from fuzzing.every import EVERY


def show(name: str, number: int, seed: int) -> None:
    subject = next(s for s in EVERY if s.name == name)
    with tempfile.TemporaryDirectory() as folder:
        print(pool.Bench(Path(folder)).attempt(subject, number, seed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--each", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--show", nargs=2, metavar=("READER", "NUMBER"))
    given = parser.parse_args()
    if given.show:
        show(given.show[0], int(given.show[1]), given.seed)
        return 0
    chosen = [s for s in EVERY if not given.only or s.name in given.only]
    jobs = [(s.name, number) for s in chosen for number in range(given.each + 1)]
    attempts, began = [], time.monotonic()
    for found in pool.run(jobs, given.seed, given.workers):
        attempts.append(found)
        if found.faults:
            print(found.subject, found.number, found.faults, found.said[:300], flush=True)
    facts = {
        "seed": given.seed,
        "python": platform.python_version(),
        "seconds": round(time.monotonic() - began),
        **pool.tally(attempts),
    }
    if given.only and given.out is not None and given.out.exists():
        facts = pool.merged(json.loads(given.out.read_text(encoding="utf-8")), facts)
    if given.out is not None:
        given.out.write_text(pool.as_json(facts), encoding="utf-8")
    print(f"{facts['mutants']} mutants, {facts['faults']} faults, {facts['seconds']} s")
    return 1 if facts["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
