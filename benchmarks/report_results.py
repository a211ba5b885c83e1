"""Write docs/results.md from the rows of `evidence.py`: python benchmarks/report_results.py OUT

What stands there from "Against the truth" on is written by hand, and kept.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

CLASSICAL = ("adjoint", "fbp", "cgsense", "l1wavelet", "tv", "dct", "lowrank", "nlbayes")
PAPERS = ("aseqdip paper", "aseqdip paper bf16", "dip paper", "tvdip paper")
ORDER = (*CLASSICAL, "house", "house best", "dip", "aseqdip", *PAPERS)
BY_HAND = "\n## Against the truth"
HEAD = """# Results

PSNR in dB, seed 0, one thread, retrospective measurements of public data made by
`benchmarks/cases.py`; every row is a file in `benchmarks/results/evidence/`. fp32, but for the
networks of `house`: bf16, which `precision=auto` takes on a CPU that multiplies it natively (Xeon
with AMX; `paper` in fp32 is from one without, which was 1.3 to 1.6 times slower). MRI: magnitude,
range max |reference|, coil maps from the undersampled data's own centre. CT: measured views,
reference FBP of all views, scored inside the disc that every view sees. Photographs: 256x256
colour crops. `paper` is that preset, cut after the seconds given below where marked; the rest is
`fast`, for `dip` and `aseqdip` with its closing step. A dash: not run yet, or removed because the
settings have changed since. `aseqdip`, in any preset, was measured before lambda's scale changed,
and every network on CT before its images were scaled by filtered backprojection (see CHANGELOG);
this holds for every table of this page. `paper` on mprage-4x in fp32 saw the coil maps of an
earlier version, which took singular values from 2 % on for signal; those maps cost total variation
0.1 dB there.

The CPU seconds of `dct`, `lowrank`, `nlbayes` and `house` were taken beside a long run of aSeqDIP's
network on the other core, which slowed everything by up to a half. Alone on both cores `auto` takes
37 s for the MRI scan mprage-4x, 44 for ct-pepper-30, 52 for inpaint-0003, 33 for superres-0003, 28
for deblur-0003 and 42 for denoise-0003; the whole command, with total variation for comparison and
the report, 57, 71, 63, 41, 39 and 49. On two cores of an EPYC (AVX512-BF16, no AMX) they took 25,
36 (ct-tooth-30), 41, 26, 24 and 36 s, the whole commands 38, 57, 51, 34, 31 and 42.

The rows of `house`, but for denoising, are of the version before its classical image became one of
two denoisers; what it does now is in [Against the truth](#against-the-truth).

`house best` (but for inpaint-0010 and 0019) and second seeds are of the version before, whose
classical images differ by -0.1 to +0.24 dB on MRI and by 0.03 elsewhere.

bf16 against fp32 on that EPYC, `house` in both: denoise-0010 29.75 and 29.75 dB (57 and 74 CPU s),
superres-0010 20.94 and 20.94 (39, 50), mri-t1-4x 30.02 and 30.03 (29, 35), ct-tooth-30 31.23 and
31.21 (53, 77), inpaint-0019 34.35 and 34.33 (57, 80), deblur-0019 33.81 and 33.81 (39, 50).

"""


def main(folder: Path) -> None:
    rows = [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]
    for r in rows:
        r["name"] = r["method"] if r["preset"] == "fast" else f"{r['method']} {r['preset']}"
    methods = [m for m in ORDER if any(r["name"] == m for r in rows)]
    text = HEAD + f"| case | {' | '.join(methods)} |\n|---|{'---|' * len(methods)}\n"
    for case in sorted({r["case"] for r in rows}):
        found = {r["name"]: r for r in rows if r["case"] == case and r["seed"] == 0}
        cells = [_cell(found.get(m)) for m in methods]
        text += f"| {case} | {' | '.join(cells)} |\n"
    text += _against_classical(rows)
    text += _by_unseen_views([r for r in rows if "unseen" in r and r["seed"] == 0])
    network = [r for r in rows if "oracle" in r and not r["cut"]]
    losses = [r["oracle"] - r["stopped"] for r in network]
    text += "\n## Stopping\n\n"
    text += "`stopped` is what the user gets, `final` the end of the full budget on all\n"
    text += "measurements, `oracle` the best of all its iterates, raw and averaged.\n\n"
    text += "| case | method | stopped | final | oracle | lost | CPU s |\n"
    text += "|---|---|---|---|---|---|---|\n"
    for r, lost in zip(network, losses, strict=True):
        scores = " | ".join(f"{r[k]:.2f}" for k in ("stopped", "final", "oracle"))
        name = f"{r['case']} | {r['name']}" + (f", seed {r['seed']}" if r["seed"] else "")
        text += f"| {name} | {scores} | {lost:.2f} | {r['cpu_seconds']:.0f} |\n"
    mean = sum(losses) / max(1, len(losses))
    text += f"\nLost on average {mean:.2f} dB, at worst {max(losses):.2f} dB.\n"
    text += _seeds([r for r in rows if r["name"] == "house"])
    text += _against_paper(rows, folder.parent / "speed")
    text += _cut_runs([r for r in rows if r["cut"]])
    target = Path(__file__).resolve().parents[1] / "docs" / "results.md"
    written = target.read_text(encoding="utf-8")
    target.write_text(text + written[written.index(BY_HAND) :], encoding="utf-8")


def _against_classical(rows: list[dict]) -> str:
    """What `house` adds to the better of the classical answers."""
    text = "\n## Against the classical answer\n\n"
    text += (
        "The better of tv and l1wavelet, and what `dct`, `lowrank` (MRI, CT, missing pixels),\n"
        "`nlbayes` and `house`, which is built on them, add to it (`best`: mean of 3 seeds).\n\n"
    )
    names = ("dct", "lowrank", "nlbayes", "house", "house best")
    text += f"| case | tv or l1wavelet | {' | CPU s | '.join(names)} | CPU s |\n"
    text += f"|---|---|{'---|' * 2 * len(names)}\n"
    gains: dict[str, list[float]] = {name: [] for name in names}
    for case in sorted({r["case"] for r in rows}):
        found = {r["name"]: r for r in rows if r["case"] == case and r["seed"] == 0}
        classical = [found[m]["stopped"] for m in ("tv", "l1wavelet") if m in found]
        if not classical:
            continue
        bar = max(classical)
        cells = [f"{bar:.2f}"]
        for name, all_of_it in gains.items():
            row = found.get(name)
            if row is None:
                cells += ["-", "-"]
                continue
            all_of_it.append(row["stopped"] - bar)
            cells += [f"{row['stopped']:.2f} ({all_of_it[-1]:+.2f})", f"{row['cpu_seconds']:.0f}"]
        text += f"| {case} | {' | '.join(cells)} |\n"
    means = [
        f"`{name}` {statistics.mean(g):+.2f} dB over {len(g)}" for name, g in gains.items() if g
    ]
    return text + f"\nOn average {', '.join(means)} cases.\n"


UNSEEN = """
## CT without a reference

The reference is filtered backprojection of all views. Its noise and streaks count as truth above,
and some of them come from the very views that were kept: an image that repeats their noise is
rewarded. They bound what can be reached (`benchmarks/ct_reference.py`): images of its even and its
odd views differ by so much that their mean, the reference, is itself only within 27.2 (tooth) and
30.3 dB (pepper) of the truth if the two err independently; total variation of **all** views has
31.14 (180 views of the tooth) and 31.41 dB (360 of the pepper), `dct` of all 30.31 and 30.65, no
more than `house` has from 30 and 60 of them. So here is how well each image predicts all the
measured views that no method was given, 20 log10(|y| / |Ax - y|); the noise of the views limits
everyone. (The reference cannot be scored so: it is not valid outside the disc.)

"""


def _by_unseen_views(rows: list[dict]) -> str:
    """The second score of CT."""
    names = [m for m in ORDER if any(r["name"] == m for r in rows)]
    if not names:
        return ""
    text = UNSEEN + f"| case | {' | '.join(names)} |\n|---|{'---|' * len(names)}\n"
    for case in sorted({r["case"] for r in rows}):
        found = {r["name"]: f"{r['unseen']:.2f}" for r in rows if r["case"] == case}
        text += f"| {case} | {' | '.join(found.get(m, '-') for m in names)} |\n"
    return text


def _cell(row: dict | None) -> str:
    if row is None:
        return "-"
    return f"{row['stopped']:.2f}" + (" (cut)" if row["cut"] else "")


def _seeds(rows: list[dict]) -> str:
    """What another seed changes."""
    cases = sorted({r["case"] for r in rows if r["seed"]})
    if not cases:
        return ""
    text = "\n## Seeds\n\n`house`, what the user gets, for several seeds.\n\n"
    text += "| case | PSNR | mean | standard deviation |\n|---|---|---|---|\n"
    spreads = []
    for case in cases:
        found = [r["stopped"] for r in rows if r["case"] == case]
        spreads.append(statistics.stdev(found))
        each = ", ".join(f"{v:.2f}" for v in found)
        text += f"| {case} | {each} | {statistics.mean(found):.2f} | {spreads[-1]:.2f} |\n"
    return text + f"\nOn average {statistics.mean(spreads):.2f} dB.\n"


PAPER = """
## Time to the paper's quality

`untrained bench speed` on one thread, the steps of all timed in interleaved blocks of 20: seconds
until the output of `house` was as good as the best that aSeqDIP's own network and settings had
reached where their run was cut, against the steps of that run at their present pace, in fp32 as
published and in our arithmetic, bf16. The first output of `house` is its classical image, and that
was enough. In brackets: the step over what its operations would take at the rate of a product of
two matrices of 2048 squared, in its precision (aSeqDIP: 64 to 256 channels; `house`: 16 to 128).

| case | precision | aseqdip paper | steps | ms a step | house, ms a step | s to it | share |
|---|---|---|---|---|---|---|---|
"""


def _against_paper(rows: list[dict], folder: Path) -> str:
    """`house` beside aSeqDIP's own network and settings."""
    text = PAPER
    for file in sorted(folder.glob("*.json")):
        timed = {r["name"]: r for r in json.loads(file.read_text())["rows"]}
        house = timed["auto fast"]
        known = {r["name"]: r for r in rows if r["case"] == file.stem}
        for precision, name in (("fp32", "aseqdip paper"), ("bf16", "aseqdip paper bf16")):
            if name not in known or name not in timed:
                continue
            paper, run = timed[name], known[name]
            share = house["to_target"] / (run["steps"] * paper["step_ms"] / 1e3)
            cells = (
                file.stem,
                precision,
                f"{run.get('oracle', run['stopped']):.2f}",
                str(run["steps"]),
                f"{paper['step_ms']:.0f} ({paper['over_limit']:.1f}x)",
                f"{house['step_ms']:.0f} ({house['over_limit']:.1f}x)",
                f"{house['to_target']:.1f}",
                f"1/{1 / share:.0f}",
            )
            text += f"| {' | '.join(cells)} |\n"
    return text


def _cut_runs(rows: list[dict]) -> str:
    if not rows:
        return ""
    text = "\n## Runs that were cut\n\nNothing is claimed beyond the cut.\n\n"
    text += "| case | method | steps taken | PSNR there | best so far | CPU s |\n"
    text += "|---|---|---|---|---|---|\n"
    for r in rows:
        best = f"{r['oracle']:.2f}" if "oracle" in r else "-"
        scores = f"{r['stopped']:.2f} | {best} | {r['cpu_seconds']:.0f}"
        text += f"| {r['case']} | {r['name']} | {r['steps']} | {scores} |\n"
    return text


if __name__ == "__main__":
    main(Path(sys.argv[1]))
