"""Hash the images of some seventy short runs: did a change of code leave them as they were?

    python benchmarks/same_bits.py record HASHES.json [--only PATTERN]
    python benchmarks/same_bits.py check HASHES.json [--only PATTERN]

`record` at the commit before, `check` at the commit after, on the same machine. Each run is a
command as a user types it, on one thread and a few steps long: every method, every task by `auto`,
by a network and by a classical method, several seeds, slices side by side, learned weights, an
operator of one's own, and a run that was cut and resumed. PATTERN matches a name with `*` and `?`.
`check` ends with status 1 where a hash differs or a run failed. The hashes hold for one machine and
one version of torch: they are compared, not committed.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import hashlib
import io
import json
import runpy
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from untrained.cli import main as command_line

OPERATOR = f"{Path(__file__).parents[1] / 'examples' / 'own_operator.py'}:SinglePixelCamera"
SIDE = 32
QUIET = ("--no-compare", "--quiet", "--threads", 1)
FP32 = ("--set", "engine.precision=fp32")
SHORT = (*QUIET, "--steps", 6, *FP32)
TASKS = ("denoise", "inpaint", "superres", "deblur", "cs", "mri", "ct", "nldeblur", "phase")
NETWORKS = ("house", "dip", "tvdip", "aseqdip", "selfguided", "sgld", "deepdecoder", "oes", "drp")
CLASSICAL = ("adjoint", "cgsense", "tv", "l1wavelet", "dct", "nlbayes")
LEARNED = ("ugodit", "edip", "metadip", "strainer", "nerp")
OTHERS = {  # methods that suit some tasks only, or need more than a measurement
    "denoise/rethinking": (),
    "denoise/dop": (),
    "mri/convdecoder": (),
    "mri/deepred": ("--set", "denoiser=tv"),
    "phase/doubledip": (),
    "deblur/refguided": ("--guide", "clean.npy"),
    "inpaint/autoencoder": ("--guide", "clean.npy", "--set", "training=4"),
    "denoise/ugodit": (),
}
OPTIONS: dict[str, tuple[Any, ...]] = {
    "mri": ("--acceleration", 4, "--center-fraction", 0.2, "--coils", 3),
    "ct": ("--angles", 16),
    "denoise": ("--sigma", 25),
}
Run = Callable[[Path], None]


def run(*arguments: Any) -> None:
    """Run a command of `untrained`; RuntimeError with its last words where it fails."""
    words = io.StringIO()
    try:
        with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
            command_line([str(a) for a in arguments])
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(words.getvalue()[-1500:]) from ended


def make_cases(folder: Path) -> None:
    """Write clean images, measurements `TASK.npz` and two noisy pictures for `pretrain`."""
    from untrained.data.phantoms import brain, shepp_logan

    ramp = np.linspace(0, 1, SIDE)
    clean = (0.6 * shepp_logan(SIDE) + 0.2 * ramp + 0.2 * ramp[:, None]).clip(0, 1)
    waves = 0.5 + 0.3 * np.sin(9 * clean)
    written = {
        "clean": clean,
        "colour": np.stack([clean, clean[::-1], waves]),
        "volume": np.stack([clean, clean.T, waves]),
        "noisy": clean + 0.05 * np.sin(400 * waves),
    }
    for name, image in written.items():
        np.save(folder / f"{name}.npy", image.astype(np.float32))
    np.save(folder / "brain.npy", brain(SIDE).astype(np.complex64))
    for task in TASKS:
        source = {"mri": "brain", "denoise": "colour"}.get(task, "clean")
        out = folder / f"{task}.npz"
        run("simulate", task, folder / f"{source}.npy", "--out", out, *OPTIONS.get(task, ()))
    path, name = OPERATOR.rsplit(":", 1)
    camera = runpy.run_path(path)[name]
    y = camera().A(torch.from_numpy(clean.astype(np.float32))[None, None])[0]
    np.save(folder / "camera.npy", y.numpy())


def runs(folder: Path) -> dict[str, Run]:
    """List the runs by name; each writes a result directory."""

    def reconstruct(task: str, method: str, *more: Any, file: str = "") -> Run:
        inputs = [folder / (file or f"{task}.npz")]
        options = [folder / m if str(m).endswith(".npy") else m for m in more]
        return lambda out: run(
            "reconstruct", task, *inputs, "--out", out, "--method", method, *options
        )

    made: dict[str, Run] = {}
    for task in TASKS:
        made |= {f"{task}/{m}": reconstruct(task, m, *SHORT) for m in ("dip", "aseqdip")}
    made |= {f"inpaint/{m}": reconstruct("inpaint", m, *SHORT) for m in NETWORKS}
    made |= {f"ct/{m}": reconstruct("ct", m, *QUIET) for m in (*CLASSICAL, "fbp")}
    made |= {f"mri/{m}": reconstruct("mri", m, *QUIET) for m in ("cgsense", "tv", "lowrank")}
    made |= {f"superres/{m}": reconstruct("superres", m, *QUIET) for m in ("tv", "dct")}
    for name, more in OTHERS.items():
        made[name] = reconstruct(*name.split("/"), *SHORT, *more)
    for task in ("denoise", "inpaint", "superres", "ct", "phase"):
        made[f"{task}/auto"] = reconstruct(task, "auto", *SHORT)
    made |= {
        "mri/house, best": reconstruct("mri", "house", "--preset", "best", *SHORT),
        "cs/dip, paper": reconstruct("cs", "dip", "--preset", "paper", *SHORT),
        "deblur/selfguided, three seeds": reconstruct("deblur", "selfguided", "--seeds", 3, *SHORT),
        "denoise/dip, slices": reconstruct("denoise", "dip", *SHORT, file="volume.npy"),
        "denoise/tv, slices": reconstruct("denoise", "tv", *QUIET, file="volume.npy"),
        "denoise/dip, volume": reconstruct("denoise", "dip", "--volume", *SHORT, file="volume.npy"),
        "denoise/dip, bf16": reconstruct("denoise", "dip", *QUIET, "--steps", 6),
        "denoise/dip, adam": reconstruct(
            "denoise", "dip", *SHORT, "--set", "engine.optimiser=adam"
        ),
        "denoise/dip, held out": reconstruct("denoise", "dip", *SHORT, "--stop", "heldout"),
        "inpaint/aseqdip, last": reconstruct("inpaint", "aseqdip", *SHORT, "--output", "last"),
        "custom/dip": lambda out: run(
            *("reconstruct", "custom", folder / "camera.npy", "--physics", OPERATOR, "--out", out),
            *("--method", "dip", *SHORT),
        ),
        "denoise/dip, resumed": lambda out: _resumed(folder, out),
    }
    for method in LEARNED:
        made[f"denoise/{method}, learned"] = partial(_learned, folder, method=method)
    return made


def _resumed(folder: Path, out: Path) -> None:
    """Cut a run by its time limit, then go on to the end."""
    begun = ("reconstruct", "denoise", folder / "denoise.npz", "--out", out, "--method", "dip")
    given = (*begun, *QUIET, *FP32, "--steps", 60)
    run(*given, "--time-limit", 0.5)
    run(*given, "--resume")


def _learned(folder: Path, out: Path, method: str) -> None:
    """Learn weights in a few steps, and reconstruct with them."""
    weights = out.with_suffix(".safetensors")
    inputs = ("clean.npy",) if method in ("edip", "nerp") else ("clean.npy", "noisy.npy")
    files = [folder / name for name in inputs]
    sigma = ("--sigma", 25) if method in ("ugodit", "edip") else ()
    run("pretrain", method, "denoise", *files, "--out", weights, *sigma, *SHORT)
    run(
        *("reconstruct", "denoise", folder / "clean.npy", "--sigma", 25, "--out", out),
        *("--method", method, "--weights", weights, *SHORT),
    )


def hashed(only: str) -> Iterator[tuple[str, str]]:
    """Yield name and hash of each run; in place of the hash what went wrong."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make_cases(folder)
        for k, (name, start) in enumerate(runs(folder).items()):
            if not fnmatch.fnmatchcase(name, only):
                continue
            began = time.monotonic()
            try:
                start(folder / f"out-{k}")
                image = np.load(folder / f"out-{k}" / "reconstruction.npy")
                found = hashlib.sha256(image.tobytes()).hexdigest()[:24]
            except Exception as error:
                found = f"failed: {error}"
            print(f"{time.monotonic() - began:6.1f} s  {name}  {found}", flush=True)
            yield name, found


def main() -> int:
    parser = argparse.ArgumentParser(description="Are the images of short runs what they were?")
    parser.add_argument("action", choices=("record", "check"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", default="*", metavar="PATTERN")
    given = parser.parse_args()
    found = dict(hashed(given.only))
    if given.action == "record":
        given.file.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    before = json.loads(given.file.read_text())
    different = [n for n, h in found.items() if before.get(n) != h or h.startswith("failed")]
    for name in different:
        print(f"DIFFERS {name}: {before.get(name)} -> {found[name]}", file=sys.stderr)
    print(f"{len(found) - len(different)} of {len(found)} are the same")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
