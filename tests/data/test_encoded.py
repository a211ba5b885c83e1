"""Round trips and errors of cs, phase and nldeblur, and the kinds of noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from untrained.data.simulate.encoded import simulate_cs, simulate_nldeblur, simulate_phase
from untrained.data.simulate.noise import LEVELS, add_noise
from untrained.data.simulate.photos import simulate_denoise
from untrained.data.tasks.cs import load_cs
from untrained.data.tasks.denoise import load_denoise
from untrained.data.tasks.nldeblur import load_nldeblur
from untrained.data.tasks.phase import load_phase
from untrained.data.tasks.superres import load_superres
from untrained.errors import UserError
from untrained.physics import BKSE, BKSENetwork, CompressedSensing, NonlinearBlur

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (24, 32, 3)).astype(np.uint8)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    Image.fromarray(PIXELS).save(tmp_path / "clean.png")
    return tmp_path / "clean.png"


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bkse") / "w.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(BKSENetwork().state_dict(), path)
    return path


def assert_explains(measurement: Any, level: float, shape: tuple[int, ...]) -> None:
    """y is A(reference) plus noise of the stated size."""
    assert measurement.reference.shape == (1, *shape)
    assert measurement.data_range == 1.0
    with torch.no_grad():
        residual = measurement.y - measurement.physics.A(measurement.reference)
    assert float(residual.std()) == pytest.approx(level, rel=0.1, abs=1e-6)
    assert measurement.sigma == pytest.approx(level, abs=1e-9)


def rewritten(path: Path, **changes: Any) -> Path:
    """The same arrays with some replaced, or left out where None."""
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored} | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_cs_round_trip(clean: Path, grey: Path, tmp_path: Path) -> None:
    simulate_cs(clean, tmp_path / "m.npz", seed=2**60 + 1, ratio=0.5, sigma=5)
    found = load_cs(tmp_path / "m.npz")
    assert found.y.shape == (1, 3, 384)
    assert found.axes == "CYX"
    assert_explains(found, 5 / 255, (3, 24, 32))
    simulate_cs(grey, tmp_path / "g.npz", ratio=0.25)
    with np.load(tmp_path / "g.npz") as stored:
        assert stored["measurement"].shape == (192,)
    assert_explains(load_cs(tmp_path / "g.npz"), 0.0, (1, 24, 32))


@pytest.mark.parametrize("pad", [None, 0, 5])
def test_phase_round_trip(grey: Path, tmp_path: Path, pad: int | None) -> None:
    simulate_phase(grey, tmp_path / "m.npz", pad=pad, sigma=3)
    found = load_phase(tmp_path / "m.npz")
    assert found.physics.pad == ((6, 8) if pad is None else (pad, pad))
    assert_explains(found, 3 / 255, (1, 24, 32))
    assert any("180 degrees" in note for note in found.notes)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"pad": 5}, r"--pad 5 says; the file's own 'image_shape' is \(10, 8\): leave --pad"),
        ({"complex_image": True}, "as --complex says: leave --complex out"),
        ({"pad": 80}, r"--pad must be .* from 0 to 7 in amplitudes of 18x16 .*m\.npz\), got 80"),
        ({"pad": -1}, "--pad must be the zeros on each side, from 0 to 7"),
    ],
)
def test_an_option_that_gives_another_image_is_named(tmp_path: Path, option, said) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((10, 8), dtype=np.float32))
    simulate_phase(tmp_path / "x.npy", tmp_path / "m.npz", pad=4)
    with pytest.raises(UserError, match=said):
        load_phase(tmp_path / "m.npz", **option)
    with np.load(tmp_path / "m.npz") as stored:
        bare = {name: stored[name] for name in ("measurement", "image_shape")}
    np.savez(tmp_path / "bare.npz", **bare)
    assert load_phase(tmp_path / "bare.npz", pad=4).physics.x_shape == (1, 10, 8)
    notes = load_phase(tmp_path / "bare.npz", pad=5).notes
    assert any("--pad took the place of the file's own 'image_shape'" in note for note in notes)


def test_a_factor_unlike_the_file_s_is_named(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).random((4, 4), dtype=np.float32)
    truth = np.zeros((16, 16), np.float32)
    np.savez(tmp_path / "m.npz", measurement=picture, reference=truth, factor=4)
    said = "--factor 2 says; the file's own 'factor' is 4: leave --factor out"
    with pytest.raises(UserError, match=said):
        load_superres(tmp_path / "m.npz", factor=2)
    np.savez(tmp_path / "m.npz", measurement=picture, reference=truth)
    with pytest.raises(UserError, match="as --factor 2 says; is that right"):
        load_superres(tmp_path / "m.npz", factor=2)


@pytest.mark.parametrize("content", [None, b"", b"no weights"])
def test_unreadable_weights_are_called_by_their_option(tmp_path: Path, content) -> None:
    if content is not None:
        (tmp_path / "w.pth").write_bytes(content)
    rng = np.random.default_rng(0)
    picture = rng.random((3, 256, 256), dtype=np.float32)
    np.savez(tmp_path / "m.npz", measurement=picture, bkse_kernel=rng.random((512, 2, 2)))
    np.save(tmp_path / "x.npy", picture)
    with pytest.raises(UserError, match=r"^--bkse: .*w\.pth"):
        load_nldeblur(tmp_path / "m.npz", weights=tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"^--bkse: .*w\.pth"):
        simulate_nldeblur(tmp_path / "x.npy", tmp_path / "o.npz", weights=tmp_path / "w.pth")


@pytest.mark.parametrize(("largest", "kept"), [(0.9176, True), (1.0, True), (4.0, False)])
def test_only_bright_complex_images_are_divided(tmp_path: Path, largest, kept) -> None:
    """And what they are divided by is said."""
    image = np.full((10, 8), 0.1j * largest, np.complex64)
    image[3, 2] = largest
    np.save(tmp_path / "x.npy", image)
    notes = simulate_phase(tmp_path / "x.npy", tmp_path / "m.npz", pad=4)
    stored = np.load(tmp_path / "m.npz")["reference"]
    np.testing.assert_allclose(stored, image if kept else image / largest, rtol=1e-6)
    assert [note for note in notes if "were divided by 4, the largest" in note] == [*notes]
    assert bool(notes) != kept


def test_phase_round_trip_of_a_complex_image(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(10, 8, 2)).view(np.complex128)[..., 0]
    np.save(tmp_path / "x.npy", image)
    simulate_phase(tmp_path / "x.npy", tmp_path / "m.npz", pad=4)
    found = load_phase(tmp_path / "m.npz")
    assert found.reference is not None
    np.testing.assert_allclose(
        torch.complex(found.reference[0, 0], found.reference[0, 1]).numpy(),
        image / np.abs(image).max(),
        rtol=1e-5,
    )
    torch.testing.assert_close(found.physics.A(found.reference), found.y)
    with np.load(tmp_path / "m.npz") as stored:
        bare = {name: stored[name] for name in ("measurement", "image_shape")}
    np.savez(tmp_path / "bare.npz", **bare)
    assert load_phase(tmp_path / "bare.npz").physics.x_shape == (1, 10, 8)
    assert load_phase(tmp_path / "bare.npz", complex_image=True).physics.x_shape == (2, 10, 8)
    np.savez(tmp_path / "three.npz", **bare | {"measurement": np.ones((3, 18, 16)) * 0.1})
    with pytest.raises(UserError, match="one channel of amplitudes, not 3"):
        load_phase(tmp_path / "three.npz", complex_image=True)
    np.savez(tmp_path / "bright.npz", **bare | {"measurement": np.ones((18, 16)) * 3})
    with pytest.raises(UserError, match="divide the amplitudes by the white level"):
        load_phase(tmp_path / "bright.npz", complex_image=True)


def test_phase_of_a_file_without_a_shape_needs_the_pad(clean: Path, tmp_path: Path) -> None:
    simulate_phase(clean, tmp_path / "m.npz", pad=4)
    bare = rewritten(tmp_path / "m.npz", image_shape=None, reference=None)
    with pytest.raises(UserError, match="--pad"):
        load_phase(bare)
    found = load_phase(bare, pad=4)
    assert found.physics.x_shape == (3, 24, 32)
    assert any("each channel" in note for note in found.notes)


@pytest.mark.parametrize("given", [False, True])
def test_nldeblur_round_trip(clean: Path, tmp_path: Path, given: bool) -> None:
    np.save(tmp_path / "k.npy", np.eye(3))
    kernel = tmp_path / "k.npy" if given else None
    notes = simulate_nldeblur(clean, tmp_path / "m.npz", kernel=kernel, sigma=3)
    assert any("not BKSE" in note for note in notes)
    found = load_nldeblur(tmp_path / "m.npz")
    assert isinstance(found.physics, NonlinearBlur)
    assert_explains(found, 3 / 255, (3, 24, 32))
    assert any("not BKSE" in note for note in found.notes)
    again = load_nldeblur(clean, kernel=tmp_path / "k.npy")
    assert again.physics.blur.kernel.shape == (3, 3)


def test_bkse_round_trip_needs_the_same_weights(weights: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", RNG.random((3, 256, 256)).astype(np.float32))
    simulate_nldeblur(tmp_path / "x.npy", tmp_path / "m.npz", weights=weights, seed=4)
    found = load_nldeblur(tmp_path / "m.npz", weights=weights)
    assert isinstance(found.physics, BKSE)
    assert_explains(found, 2 / 255, (3, 256, 256))
    with pytest.raises(UserError, match="give --bkse"):
        load_nldeblur(tmp_path / "m.npz")
    other = torch.load(weights, weights_only=True)
    other["recon_trunk.28.bias"] += 1
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(UserError, match="is not the file that blurred"):
        load_nldeblur(tmp_path / "m.npz", weights=tmp_path / "other.pth")


def test_bkse_refuses_other_sizes_and_both_blurs(
    clean: Path, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"clean.png.*256x256"):
        simulate_nldeblur(clean, tmp_path / "m.npz", weights=weights)
    with pytest.raises(UserError, match="not both"):
        simulate_nldeblur(clean, tmp_path / "m.npz", weights=weights, kernel=clean)
    with pytest.raises(UserError, match="does not hold 'bkse_kernel'"):
        load_nldeblur(clean, weights=weights)
    with pytest.raises(UserError, match="give --kernel"):
        load_nldeblur(clean)


def test_the_seed_decides_the_bytes(grey: Path, tmp_path: Path) -> None:
    for make in (simulate_cs, simulate_phase, simulate_nldeblur):
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            make(grey, tmp_path / f"{name}.npz", seed=seed, sigma=4)
        a, b, c = ((tmp_path / f"{name}.npz").read_bytes() for name in "abc")
        assert a == b
        assert a != c


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_shape": None}, "lacks 'image_shape'"),
        ({"matrix_seed": None}, "lacks 'matrix_seed'"),
        ({"matrix_seed": np.asarray(1.5)}, "'matrix_seed'"),
        ({"matrix_seed": np.asarray(-1)}, "seed must be"),
        ({"image_shape": np.array([24, 32, 1])}, "'image_shape'"),
        ({"image_shape": np.array([0, 32])}, "'image_shape'"),
        ({"image_shape": np.array([10, 10])}, "m must be"),
        ({"image_shape": np.array([2**40, 2**40])}, "more than"),
        ({"measurement": np.zeros((2, 2, 2))}, "'measurement'"),
        ({"measurement": np.array([np.nan] * 9)}, "NaN"),
        ({"measurement": np.zeros(192, complex)}, "must be real"),
        ({"reference": np.zeros((9, 9))}, "'reference'"),
    ],
)
def test_cs_refuses(grey: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    simulate_cs(grey, tmp_path / "m.npz")
    with pytest.raises(UserError, match=message) as error:
        load_cs(rewritten(tmp_path / "m.npz", **changes))
    assert "m.npz" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_shape": np.array([25, 32])}, "cannot lie in the middle"),
        ({"image_shape": np.array([50, 32])}, "cannot lie in the middle"),
        ({"measurement": np.zeros(9)}, "'measurement'"),
        ({"measurement": np.full((36, 48), 300.0)}, "white level"),
        ({"reference": np.zeros((9, 9))}, "'reference'"),
    ],
)
def test_phase_refuses(grey: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    simulate_phase(grey, tmp_path / "m.npz")
    with pytest.raises(UserError, match=message) as error:
        load_phase(rewritten(tmp_path / "m.npz", **changes))
    assert "m.npz" in str(error.value)


def test_options_out_of_range_are_refused(grey: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.npz"
    for ratio in (0.0, 1.1, 1e-9, float("nan")):
        with pytest.raises(UserError, match="--ratio"):
            simulate_cs(grey, out, ratio=ratio)
    with pytest.raises(UserError, match="pad must be"):
        simulate_phase(grey, out, pad=-1)
    for make in (simulate_cs, simulate_phase, simulate_nldeblur):
        with pytest.raises(UserError, match="--sigma"):
            make(grey, out, sigma=-1)
    assert not out.exists()


# noise ----------------------------------------------------------------------------------------

FLAT = torch.full((1, 3, 100, 100), 0.25)


def test_each_noise_has_the_size_that_its_level_says() -> None:
    white = add_noise(FLAT, "gaussian", 51, 0) - FLAT
    assert float(white.std()) == pytest.approx(0.2, rel=0.02)
    photons = add_noise(FLAT, "poisson", 40, 0)
    assert float(photons.mean()) == pytest.approx(0.25, rel=0.02)
    assert float(photons.var()) == pytest.approx(0.25 / 40, rel=0.05)
    assert torch.equal((photons * 40).round(), photons * 40), "whole photons"
    speckle = add_noise(FLAT, "speckle", 0.3, 0) / FLAT - 1
    assert float(speckle.std()) == pytest.approx(0.3, rel=0.02)
    impulse = add_noise(FLAT, "impulse", 0.2, 0)
    black, bright = ((impulse == value).float().mean() for value in (0, 1))
    assert float(black) == pytest.approx(0.1, rel=0.1)
    assert float(bright) == pytest.approx(0.1, rel=0.1)
    assert bool(((impulse == 0.25) | (impulse == 0) | (impulse == 1)).all())
    assert not torch.equal(impulse[:, 0], impulse[:, 1]), "channels on their own"


@pytest.mark.parametrize("kind", LEVELS)
def test_noise_is_seeded_and_recorded(clean: Path, tmp_path: Path, kind: str) -> None:
    assert torch.equal(add_noise(FLAT, kind, 1, 5), add_noise(FLAT, kind, 1, 5))
    assert not torch.equal(add_noise(FLAT, kind, 0.9, 5), add_noise(FLAT, kind, 0.9, 6))
    simulate_denoise(clean, tmp_path / "m.npz", noise=kind)
    with np.load(tmp_path / "m.npz") as stored:
        assert str(stored["noise"]) == kind
        assert float(stored["level"]) == LEVELS[kind]
        assert ("sigma" in stored) == (kind == "gaussian")
    found = load_denoise(tmp_path / "m.npz")
    assert (found.sigma is None) == (kind != "gaussian")


def test_sigma_is_the_level_of_gaussian_noise(clean: Path, tmp_path: Path) -> None:
    simulate_denoise(clean, tmp_path / "a.npz", sigma=10, seed=3)
    simulate_denoise(clean, tmp_path / "b.npz", level=10.0, seed=3)
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert np.array_equal(a["measurement"], b["measurement"])
        assert float(a["sigma"]) == float(b["sigma"]) == 10
    for more in ({"noise": "impulse"}, {"level": 10.0}):
        with pytest.raises(UserError, match="--sigma"):
            simulate_denoise(clean, tmp_path / "c.npz", sigma=10, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("gaussian", -1.0),
        ("impulse", 1.5),
        ("poisson", 0.0),
        ("poisson", 1e12),
        ("speckle", float("inf")),
        ("speckle", float("nan")),
    ],
)
def test_levels_out_of_range_are_refused(kind: str, level: float) -> None:
    with pytest.raises(UserError, match=f"--level of {kind}"):
        add_noise(FLAT, kind, level, 0)
    with pytest.raises(UserError, match="--noise must be one of gaussian"):
        add_noise(FLAT, "pink", level, 0)


def test_a_stored_matrix_seed_gives_the_operator_that_measured(grey: Path, tmp_path: Path) -> None:
    simulate_cs(grey, tmp_path / "m.npz", seed=9)
    found = load_cs(tmp_path / "m.npz")
    direct = CompressedSensing((1, 24, 32), 192, 9)
    assert torch.equal(found.physics.rows, direct.rows)
    assert torch.equal(found.physics.signs, direct.signs)
