"""Measure on a GPU, in pieces of a few minutes, the most valuable rows first.

    python benchmarks/gpu.py run OUT --data DATA [--piece-minutes 8] [--device cuda]
    python benchmarks/gpu.py run OUT --tiny
    python benchmarks/gpu.py table OUT

`run` takes up the first row that is not finished, and the next ones, until the minutes are over.
It then keeps the state of the run under way and ends with status 1; the same command goes on from
there. With status 0 there is nothing left to do. A finished row is a file OUT/rows/ROW.json and is
not run again; one that failed is a file ROW.failed.json and is run again with `--retry` only.
`--tiny` takes phantoms of 32 points and 8 steps, to find mistakes on a CPU in seconds.
"""

from __future__ import annotations

import argparse
import fnmatch
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gpu_work as work
from gpu_cases import READINGS, test_faces
from gpu_work import NotFinished, Place

from untrained.bench.work import read_json, write_json
from untrained.files import make_directory
from untrained.machine import pick_device
from untrained.rules.watch import Clock


@dataclass(frozen=True)
class Row:
    """Name a measurement and the function that takes it.

    Attributes:
        name: of its file.
        do: (place, name) -> the facts; raises `NotFinished` where the time is used up.
    """

    name: str
    do: Callable[[Place, str], dict[str, Any]]


def rows(tiny: bool = False) -> list[Row]:
    """List all rows, the most valuable first.

    What the learned encoder is worth on one face; aSeqDIP's whole budget; a slice of 15 coils by
    all presets; images side by side and in turn; memory of volumes; then further arms and faces.
    """
    first, *others = test_faces(tiny)
    found = []
    for reading in READINGS:
        found.append(Row(f"sr-{reading}-lesson", partial(work.lesson, reading=reading)))
        found += [of_a_face(first, reading, arm) for arm in ("learned", "random")]
    found += [of_an_image("ct", "aseqdip", "paper"), of_an_image("mri", "aseqdip", "paper")]
    runs = (("aseqdip", "paper"), ("auto", "fast"), ("aseqdip", "fast"), ("auto", "best"))
    found += [of_an_image("slice", *run) for run in runs]
    for together, told in ((16, "side-by-side"), (1, "in-turn")):
        found.append(Row(f"many-{told}", partial(work.many, name="mri", together=together)))
    for method, side in (("dip", 256), ("aseqdip", 256), ("dip", 128)):
        does = partial(work.memory, side=side, method=method)
        found.append(Row(f"volume-{side}-{method}", does))
    found += [of_a_face(first, reading, arm) for reading in READINGS for arm in ("same", "aseqdip")]
    for face in others:
        for arm in ("learned", "random", "same", "aseqdip"):
            found += [of_a_face(face, reading, arm) for reading in READINGS]
    return found


def of_a_face(face: str, reading: str, arm: str) -> Row:
    """Make the row of one face in super-resolution, see `gpu_work.face`."""
    return Row(
        f"sr-{reading}-{face}-{arm}", partial(work.face, number=face, reading=reading, arm=arm)
    )


def of_an_image(name: str, method: str, preset: str) -> Row:
    """Make the row of one method on one case."""
    return Row(
        f"{name}-{method}-{preset}", partial(work.image, name=name, method=method, preset=preset)
    )


def run(asked: list[Row], place: Place, retry: bool = False) -> bool:
    """Measure the rows that are left until the clock says stop; return whether none is left."""
    folder = make_directory(place.out / "rows")
    for row in asked:
        done, failed = folder / f"{row.name}.json", folder / f"{row.name}.failed.json"
        if done.exists() or (failed.exists() and not retry):
            continue
        if place.clock.interrupted():
            return False
        failed.unlink(missing_ok=True)
        try:
            facts = row.do(place, row.name)
        except NotFinished:
            return False
        except Exception as error:  # the rows after it can still be measured
            told = {"error": f"{type(error).__name__}: {error}", "details": traceback.format_exc()}
            write_json(failed, told | work.machine(place))
            print(f"{row.name}: failed: {told['error']}", flush=True)
            continue
        write_json(done, {"row": row.name, **facts, **work.machine(place)})
        shutil.rmtree(place.state(row.name), ignore_errors=True)
        print(f"{row.name}: done in {facts.get('seconds', 0.0):.1f} s", flush=True)
    return True


def table(out: Path) -> list[str]:
    """Format the finished rows as a table in Markdown, with `conclusions` below it."""
    found = {
        row.name: read_json(file)
        for row in rows()
        if (file := out / "rows" / f"{row.name}.json").exists()
    }
    lines = ["| row | steps | seconds | ms/step | PSNR | peak MiB | device |", "|---" * 7 + "|"]
    for name, one in found.items():
        steps, seconds = one.get("steps"), one.get("seconds")
        each = 1e3 * seconds / steps if steps and seconds and "images" not in one else None
        cells = (number(seconds, 1), number(each, 2), number(one.get("psnr"), 2))
        memory = number(one.get("peak_memory_mb"), 0)
        told = [name, steps or "", *cells, memory, one["device_name"]]
        lines.append("| " + " | ".join(map(str, told)) + " |")
    failures = sorted((out / "rows").glob("*.failed.json"))
    lines += [f"failed: {file.name}: {read_json(file)['error']}" for file in failures]
    return [*lines, "", *conclusions(found)]


def conclusions(found: dict[str, dict[str, Any]]) -> list[str]:
    """Compare rows: encoders, time to a quality, side by side and in turn, memory of volumes."""
    lines = []
    for name, learned in found.items():
        random = found.get(name.removesuffix("learned") + "random")
        if name.endswith("-learned") and random is not None:
            gain = learned["psnr"] - random["psnr"]
            lines.append(f"{name}: {gain:+.2f} dB over a random, never trained encoder")
    paper = found.get("slice-aseqdip-paper")
    for name, one in found.items():
        if paper is not None and name.startswith("slice-") and one is not paper:
            reached = [seconds for seconds, psnr in one["climb"] if psnr >= paper["psnr"]]
            told = f"after {reached[0]:.1f} s" if reached else "never"
            took = f"{one['psnr']:.2f} dB in {one['seconds']:.1f} s"
            lines.append(
                f"{name}: {took}; it reached the paper's {paper['psnr']:.2f} dB (in "
                f"{paper['seconds']:.1f} s) {told}"
            )
    if {"many-side-by-side", "many-in-turn"} <= found.keys():
        beside, turn = found["many-side-by-side"], found["many-in-turn"]
        ratio = turn["seconds"] / beside["seconds"]
        lines.append(
            f"{beside['images']} images side by side: {beside['images_per_minute']:.1f} a minute, "
            f"{ratio:.2f} times as many as in turn; {beside['psnr']:.2f} and {turn['psnr']:.2f} dB"
        )
    for name, one in found.items():
        if "counted_mb" in one:
            lines.append(
                f"{name} ({one['side']} cubed): counted {one['counted_mb']:.0f} MiB, lean "
                f"{one['counted_lean_mb']:.0f}; measured {number(one['peak_memory_mb'], 0)}; "
                + "; ".join([*one.get("said", []), one.get("error", "it fits")])
            )
    return lines


def number(value: float | None, digits: int) -> str:
    """Format a number as a cell of the table; empty where there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def main() -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    doing = commands.add_parser("run")
    doing.add_argument("out", type=Path)
    what = doing.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="the folder of the public data sets")
    what.add_argument("--tiny", action="store_true", help="phantoms of a few pixels, a few steps")
    doing.add_argument("--piece-minutes", type=float, default=8.0)
    doing.add_argument("--device", default="auto")
    doing.add_argument("--only", default="*", metavar="PATTERN", help="rows that match")
    doing.add_argument("--retry", action="store_true", help="also those that failed")
    doing.add_argument("--list", action="store_true", help="print the rows and end")
    shown = commands.add_parser("table")
    shown.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "table":
        print("\n".join(table(given.out)))
        return 0
    if given.data is not None and not given.data.is_dir():
        parser.error(f"--data {given.data} is no folder; give that of the public data sets")
    for before in (given.out / "rows").glob("*.json"):
        if read_json(before)["tiny"] != given.tiny:
            parser.error(f"{given.out} holds rows of the other size (--tiny); name another OUT")
    asked = [row for row in rows(given.tiny) if fnmatch.fnmatchcase(row.name, given.only)]
    if given.list or not asked:
        print("\n".join(row.name for row in asked or rows(given.tiny)))
        return 0 if asked else 2
    place = Place(
        out=given.out,
        data=given.data,
        device=pick_device(given.device),
        clock=Clock(60 * given.piece_minutes),
    )
    if run(asked, place, given.retry):
        return 0
    print("the minutes are over; the same command goes on from here", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
