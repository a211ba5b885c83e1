"""A file format is added as CONTRIBUTING says: one module, one row, nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import untrained

MODULE = '''
"""CSV: one array without a name, as text."""

from pathlib import Path

import numpy as np

from untrained.data.formats.base import ArrayFormat


def read_csv(file: Path, what: str) -> np.ndarray:
    """Read rows of numbers separated by commas."""
    return np.loadtxt(file, delimiter=",", ndmin=2)


CSV = ArrayFormat("CSV", (".csv",), "rows of numbers", read_csv)
'''
READ = """
from untrained.data import FORMATS, TASKS, evaluate_files, with_reference
from untrained.data.images import read_image

assert FORMATS["CSV"].suffixes == (".csv",)
(scan,) = TASKS["ct"].load("picture.csv", angles=12)
assert tuple(scan.y.shape) == (1, 1, 16, 12)
(blurred,) = TASKS["deblur"].load("picture.csv", kernel="kernel.csv")
assert tuple(blurred.physics.kernel.shape) == (3, 3)
holes = TASKS["inpaint"].load("picture.csv", mask="mask.csv")
noisy = with_reference(*TASKS["denoise"].load("picture.csv", sigma=5), "picture.csv")
assert noisy.reference.equal(read_image("picture.csv")[0])
assert evaluate_files("picture.csv", "mask.csv", 1.0)["range"] == 1.0
"""


def test_a_format_is_one_module_and_one_row(tmp_path: Path) -> None:
    package = tmp_path / "untrained"
    shutil.copytree(Path(untrained.__file__).parent, package)
    formats = package / "data" / "formats"
    (formats / "csv.py").write_text(MODULE)
    rows = (formats / "__init__.py").read_text(encoding="utf-8")
    rows = rows.replace(
        "import HDF5\n", "import HDF5\nfrom untrained.data.formats.csv import CSV\n"
    )
    rows = rows.replace("        HDF5,\n", "        HDF5,\n        CSV,\n")
    (formats / "__init__.py").write_text(rows, encoding="utf-8")
    picture = np.random.default_rng(0).random((12, 16))
    mask = picture > 0.3
    arrays = {"picture": picture, "kernel": np.ones((3, 3)) / 9, "mask": mask}
    for name, array in arrays.items():
        np.savetxt(tmp_path / f"{name}.csv", array, delimiter=",")
    done = subprocess.run(
        [sys.executable, "-c", READ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
