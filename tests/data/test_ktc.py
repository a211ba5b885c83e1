"""The score of the Kuopio Tomography Challenge 2023, against its definition spelled out."""

import json

import numpy as np
import pytest
import scipy.io
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from untrained.cli.commands import status
from untrained.data.ktc import (
    is_segmented,
    ktc_score,
    measured_at_level,
    otsu_thresholds,
    segment,
)
from untrained.data.ktc_files import score_files
from untrained.errors import UserError

Y, X = np.mgrid[-1:1:256j, -1:1:256j]
TRUTH = np.zeros((256, 256), np.uint8)
TRUTH[(X - 0.4) ** 2 + (Y - 0.2) ** 2 < 0.06] = 2
TRUTH[(abs(X + 0.4) < 0.2) & (abs(Y) < 0.3)] = 1
CONDUCTIVITY = np.array([0.8, 0.1, 2.0])[TRUTH]
NOISE = np.random.default_rng(0).standard_normal((256, 256))
BLURRED = gaussian_filter(CONDUCTIVITY, 7) + 0.3 * gaussian_filter(NOISE, 4)


def every_pair(image):
    """Both thresholds by trying all pairs, the last of the best ones."""
    counts, edges = np.histogram(image, 256)
    middles, bins = (edges[1:] + edges[:-1]) / 2, np.arange(1, 257)
    mean, best, found = (bins * counts).sum() / counts.sum(), 0.0, (0, 0)
    for i in range(1, 256):
        for j in range(1, i):
            parts = [slice(0, j), slice(j, i), slice(i, 256)]
            weights = [counts[p].sum() for p in parts]
            if min(weights) > 0:
                sums = [(bins[p] * counts[p]).sum() for p in parts]
                value = sum(w * (s / w - mean) ** 2 for w, s in zip(weights, sums, strict=True))
                if value >= best:
                    best, found = value, (j - 1, i - 1)
    return tuple(middles[list(found)])


def similarity(truth, found):
    """The structural similarity of two masks by a convolution with the whole window."""
    steps = np.arange(-160, 161)
    window = np.exp(-0.5 * (steps[:, None] ** 2 + steps**2) / 80**2)
    covered = fftconvolve(np.ones((256, 256)), window, mode="same")

    def mean(values):
        return fftconvolve(values, window, mode="same") / covered

    t, r = truth.astype(float), found.astype(float)
    variances = mean(t * t) - mean(t) ** 2 + mean(r * r) - mean(r) ** 2
    covariance = mean(t * r) - mean(t) * mean(r)
    over = (2 * mean(t) * mean(r) + 1e-4) * (2 * covariance + 9e-4)
    return (over / ((mean(t) ** 2 + mean(r) ** 2 + 1e-4) * (variances + 9e-4))).mean()


@pytest.mark.parametrize("image", [BLURRED, CONDUCTIVITY], ids=["smooth", "three values"])
def test_thresholds_are_those_of_all_pairs(image):
    assert otsu_thresholds(image) == every_pair(image)


def test_score_is_the_mean_similarity_of_both_kinds():
    found = segment(BLURRED)
    one = ktc_score(TRUTH, found)
    assert one.resistive == pytest.approx(similarity(TRUTH == 1, found == 1), abs=1e-10)
    assert one.conductive == pytest.approx(similarity(TRUTH == 2, found == 2), abs=1e-10)
    assert one.score == (one.resistive + one.conductive) / 2
    assert 0.5 < one.score < 1


def test_the_truth_scores_one_and_its_conductivities_too():
    assert ktc_score(TRUTH, TRUTH).score == 1.0
    assert np.array_equal(segment(CONDUCTIVITY), TRUTH)
    assert np.array_equal(segment(CONDUCTIVITY - 0.8), TRUTH), "a difference image"
    assert ktc_score(np.zeros_like(TRUTH), segment(np.full((256, 256), 0.8))).score == 1.0


def test_one_kind_of_inclusion_is_told_from_the_other():
    for kind, value in ((1, 0.1), (2, 2.0)):
        image = np.where(kind == TRUTH, value, 0.8)
        assert set(np.unique(segment(image))) == {0, kind}
        assert np.array_equal(segment(image) == kind, kind == TRUTH)


def test_the_background_may_be_the_lowest_or_the_highest_class():
    image = CONDUCTIVITY.copy()
    image[TRUTH == 1] = 1.2  # both inclusions conduct better
    assert np.array_equal(segment(image) == 2, TRUTH > 0)
    assert np.array_equal(segment(-image) == 1, TRUTH > 0)


def test_levels_leave_out_the_first_electrodes():
    injections = np.zeros((32, 3))
    injections[[0, 8, 20], [0, 1, 2]], injections[[1, 30, 22], [0, 1, 2]] = 1, -1
    patterns = np.eye(32)[:, :-1] - np.eye(32, k=-1)[:, :-1]
    for level in range(1, 8):
        keep = measured_at_level(injections, patterns, level)
        gone = 2 * (level - 1)
        assert keep.any(0).tolist() == [gone == 0, gone <= 8, True]
        assert keep[:, 2].sum() == 31 - gone
        assert not keep[:gone].any()
    with pytest.raises(UserError, match="1 to 7"):
        measured_at_level(injections, patterns, 8)


def test_classes_are_recognised():
    assert is_segmented(TRUTH)
    assert is_segmented(TRUTH.astype(float))
    assert not is_segmented(CONDUCTIVITY)


def test_files_of_every_kind_are_scored(tmp_path, capsys):
    np.save(tmp_path / "found.npy", BLURRED.astype(np.float32))
    np.savez(tmp_path / "ours.npz", truth=TRUTH)
    scipy.io.savemat(tmp_path / "truth.mat", {"truth": TRUTH})
    scipy.io.savemat(
        tmp_path / "entry.mat", {"reconstruction": segment(np.log(BLURRED)).astype(float)}
    )
    Image.fromarray(TRUTH).save(tmp_path / "truth.png")
    expected = ktc_score(TRUTH, segment(np.log(BLURRED.astype(np.float32)))).score
    for truth in ("ours.npz", "truth.mat", "truth.png"):
        found, notes = score_files(tmp_path / "found.npy", tmp_path / truth)
        assert found["ktc"] == expected
        assert len(notes) == 1
        assert "Otsu" in notes[0]
    assert score_files(tmp_path / "entry.mat", tmp_path / "truth.mat")[0]["ktc"] == pytest.approx(
        expected, abs=1e-3
    )
    assert status(["evaluate", str(tmp_path / "truth.mat"), str(tmp_path / "truth.png"),
                 "--score", "ktc", "--json"]) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out) == {"ktc": 1, "resistive": 1, "conductive": 1}
    assert status(["evaluate", str(tmp_path / "found.npy"), str(tmp_path / "truth.png"),
                 "--score", "ktc"]) == 0  # fmt: skip
    said = capsys.readouterr()
    assert f"ktc        {expected:.4f}" in said.out
    assert "Otsu" in said.err


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"image": TRUTH}, "has none of 'truth'"),
        ({"truth": TRUTH[:64, :64]}, "256 x 256"),
        ({"truth": np.where(X > 0.9, np.nan, 1)}, "NaN"),
        ({"truth": TRUTH + 1j}, "real"),
    ],
)
def test_what_cannot_be_scored_is_named(tmp_path, arrays, said):
    np.savez(tmp_path / "a.npz", **arrays)
    np.save(tmp_path / "truth.npy", TRUTH)
    with pytest.raises(UserError, match=said) as error:
        score_files(tmp_path / "a.npz", tmp_path / "truth.npy")
    assert "a.npz" in str(error.value)


def test_score_takes_no_range(tmp_path, capsys):
    np.save(tmp_path / "a.npy", TRUTH)
    path = str(tmp_path / "a.npy")
    assert status(["evaluate", path, path, "--score", "ktc", "--range", "1"]) == 2
    assert "--range" in capsys.readouterr().err
