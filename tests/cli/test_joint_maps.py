"""`mri --maps joint` from k-space to a result, its resume, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from small_priors import small_prior

from untrained.data.phantoms import birdcage_maps
from untrained.errors import UserError
from untrained.run.plan import plan

SIDE = 24
SHORT = ["--method", "dip", "--steps", "5", "--set", "net.widths=4,8", "--no-compare", "--quiet"]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Write k-space of two coils, every second column, and shifted maps beside it."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.exp(-((x - 11) ** 2 + (y - 13) ** 2) / 40) * (1 + (x > 9))
    maps = birdcage_maps(2, (SIDE, SIDE))
    shifted = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(maps * image, (1, 2))), (1, 2)) / SIDE
    mask = (np.arange(SIDE) % 2 == 0) | (abs(np.arange(SIDE) - 12) < 4)
    np.savez(tmp_path / "scan.npz", kspace=(shifted * mask).astype(np.complex64))
    np.save(tmp_path / "maps.npy", np.roll(maps, 3, axis=2))
    return tmp_path / "scan.npz"


def test_maps_are_refined_saved_and_shown(scan: Path, tmp_path: Path) -> None:
    """Maps near those that the file gave, of the same brightness, and not the same."""
    out, start = tmp_path / "out", tmp_path / "maps.npy"
    given = ["--maps", f"joint:{start}", *SHORT, "--out", out]
    assert call("reconstruct", "mri", scan, *given) == 0
    before, maps = np.load(start), np.load(out / "maps.npy")
    assert (maps.shape, maps.dtype) == ((2, SIDE, SIDE), np.complex64)
    assert 1e-3 < np.abs(maps - before).max() < 0.5
    np.testing.assert_allclose(np.linalg.norm(maps, axis=0), 1, atol=1e-5)
    assert (out / "maps.png").exists()
    facts = json.loads((out / "result.json").read_text())
    assert (facts["method"], facts["estimated"]) == ("dip", ["maps"])
    assert "Estimated maps" in (out / "report.html").read_text()


def test_auto_has_two_stages_of_one_seed_each_and_says_so() -> None:
    """`best` averages three seeds where nothing is unknown; here only the second stage does."""
    chosen = plan("mri", preset="best", unknown=("maps",))
    assert chosen.then is not None
    assert chosen.recipe is not None
    assert (chosen.card.name, chosen.then.card.name) == ("tvdip", "house")
    assert (chosen.recipe.seeds, chosen.seeds(1), chosen.then.seeds(1)) == (1, 1, 3)
    assert "tvdip; the image is then made by house" in chosen.notes[0]
    assert plan("mri", method="house", preset="best", unknown=("maps",)).seeds(1) == 1
    with pytest.raises(UserError, match="no gradient steps"):
        plan("mri", method="dds", prior=small_prior(), unknown=("maps",))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--maps", "joint", "--method", "tv"], "refines no maps"),
        (["--maps", "joint", "--method", "dds", "--prior", "none"], "prior"),
        (["--maps", "joint", "--seeds", "2"], "leave seeds out"),
        (["--maps", "joint", "--uncertainty", "ensemble"], "error bar"),
        (["--maps", "joint", "--volume"], "a --volume is not"),
        (["--maps", "joint", "--series"], "a --series is not"),
        (["--maps", "joint", "--map-sets", "2"], "several --map-sets is not"),
        (["--maps", "joint:nowhere.npy"], "nowhere.npy"),
    ],
)
def test_what_cannot_be_is_refused(
    scan: Path, tmp_path: Path, given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("reconstruct", "mri", scan, *given, "--out", tmp_path / "no") == 2
    assert words in " ".join(capsys.readouterr().err.split())
