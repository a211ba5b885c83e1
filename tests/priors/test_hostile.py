"""Hostile files of weights: one paragraph, nothing executed, no more allocated than they hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from weight_files import HOSTILE, MARKER, kair, saved

from untrained.cli import main
from untrained.errors import UserError
from untrained.priors import load_prior

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, message = HOSTILE[name]
    file = tmp_path / "weights.bin"
    file.write_bytes(content())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"(?s)--prior: .*weights.bin: .*({message})") as caught:
        load_prior(file)
    text = str(caught.value)
    assert len(text) < 700
    assert "\n" not in text
    assert not (tmp_path / MARKER).exists()


ALL = """
import resource, sys
from pathlib import Path
from untrained.errors import UserError
from untrained.priors import load_prior
refused = 0
warm = load_prior(sys.argv[2])
used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
for file in sorted(Path(sys.argv[1]).iterdir()):
    try:
        load_prior(file)
    except UserError as error:
        assert 'not enough memory' not in str(error) and "can't allocate" not in str(error), error
        refused += 1
print(refused)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for its memory")
def test_no_hostile_file_makes_it_allocate(tmp_path: Path) -> None:
    """Read all of them within 256 MiB of address space; some claim 10 GB."""
    folder, good = tmp_path / "files", tmp_path / "good.pth"
    folder.mkdir()
    good.write_bytes(saved(kair()))
    for i, (content, _) in enumerate(HOSTILE.values()):
        (folder / f"{i}.bin").write_bytes(content())
    done = subprocess.run(
        [sys.executable, "-c", ALL, str(folder), str(good)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.stdout.split() == [str(len(HOSTILE))], done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing.pth", "there is no file"),
        ("../..", "is a folder"),
        ("/dev/zero", "is a pipe or a device"),
        ("empty.pth", "is empty"),
        ("a\0b", "cannot be opened|there is no file"),
        (r"C:\weights\net.pth", r"there is no file C:\\weights\\net.pth"),
        (r"C:\weights\net.pth:dncnn", r"there is no file C:\\weights\\net.pth;"),
        ("good.pth:resnet", "there is no file good.pth:resnet"),
        ("good.pth:scico", "does not have the layout of scico; it looks like dncnn"),
    ],
)
def test_odd_paths_are_refused(
    given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.pth").touch()
    Path("good.pth").write_bytes(saved(kair()))
    with pytest.raises(UserError, match=message):
        load_prior(given)


def test_the_command_line_ends_with_2_and_one_paragraph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, picture = tmp_path / "w.pth", tmp_path / "y.npy"
    file.write_bytes(HOSTILE["code"][0]())
    np.save(picture, np.full((16, 16), 0.5, dtype=np.float32))
    options = ["--method", "deepred", "--prior", str(file), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", "denoise", str(picture), *options])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "holds code" in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
