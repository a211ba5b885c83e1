"""Files of electrical impedance tomography: read alike under every name, refused where wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from untrained.data import TASKS
from untrained.data.measurement import Measurement
from untrained.data.simulate.eit import Tank, simulate_eit
from untrained.data.tasks.eit_mesh_file import read_mesh
from untrained.errors import UserError
from untrained.physics.eit_mesh import disc_mesh

COUNT = 8
Arrays = dict[str, Any]
Y, X = np.mgrid[-1:1:24j, -1:1:24j]
PICTURE = 0.8 + 0.6 * ((X - 0.3) ** 2 + Y**2 < 0.1)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    """A valid measurement, its mesh in the same file."""
    folder = tmp_path_factory.mktemp("eit")
    np.save(folder / "clean.npy", PICTURE)
    simulate_eit(folder / "clean.npy", folder / "scan.npz", tank=Tank(electrodes=COUNT))
    with np.load(folder / "scan.npz") as stored:
        return dict(stored)


def load(path: Path, arrays: Arrays, **options: object) -> Measurement:
    np.savez(path, **arrays)
    (one,) = TASKS["eit"].load(path, **options)
    return one


def test_what_simulate_writes_is_read_back(tmp_path, arrays):
    one = load(tmp_path / "a.npz", arrays)
    assert one.y[0, 0].numpy() == pytest.approx(arrays["voltages"], rel=1e-6)
    assert one.physics.x_shape == (1, 24, 24)
    assert one.physics.background == pytest.approx(0.8, rel=0.1)
    assert one.sigma == float(arrays["sigma"]) > 0
    inside = one.physics.grid.averages.sum(axis=0).reshape(24, 24) > 0
    assert np.array_equal(one.reference[0, 0].numpy()[inside], arrays["reference"][inside])
    assert (one.reference[0, 0].numpy()[~inside] == np.float32(one.physics.background)).all()


def test_the_model_explains_the_empty_tank_exactly(tmp_path, arrays):
    one = load(tmp_path / "a.npz", arrays)
    water = one.physics.voltages(np.full(len(one.physics.mesh.elements), one.physics.background))
    assert water == pytest.approx(arrays["reference_voltages"], abs=1e-12)


def test_the_challenges_names_and_files_are_read_alike(tmp_path, arrays):
    row = arrays["voltages"].T.ravel()  # injection by injection
    before = arrays["reference_voltages"].T.ravel()
    scipy.io.savemat(
        tmp_path / "data1.mat",
        {"Uel": row[:, None], "Inj": arrays["injections"], "Mpat": arrays["patterns"]},
    )
    scipy.io.savemat(
        tmp_path / "ref.mat",
        {"Uelref": before[:, None], "Injref": arrays["injections"], "Mpat": arrays["patterns"]},
    )
    edges = np.empty((1, COUNT), object)
    for number, own in enumerate(arrays["electrodes"]):
        edges[0, number] = own + 1
    mesh = {"g": arrays["nodes"], "H": arrays["elements"] + 1, "elfaces": edges}
    scipy.io.savemat(tmp_path / "mesh.mat", mesh, do_compression=True)
    (one,) = TASKS["eit"].load(
        tmp_path / "data1.mat",
        mesh=tmp_path / "mesh.mat",
        reference_voltages=tmp_path / "ref.mat",
    )
    assert any("counted from 1" in note for note in one.notes)
    short = {"data_Uel": row, "data_Inj": arrays["injections"], "data_Mpat": arrays["patterns"]}
    mesh_keys = {k: arrays[k] for k in ("nodes", "elements", "electrodes", "image_shape")}
    other = load(tmp_path / "b.npz", {**short, "ref_Uelref": before, **mesh_keys})
    own = load(tmp_path / "c.npz", arrays)
    for found in (one, other):
        assert found.y.equal(own.y)
        assert np.array_equal(found.physics.offset, own.physics.offset)
        assert np.array_equal(found.physics.mesh.elements, own.physics.mesh.elements)


def test_hdf5_and_another_name_of_the_voltages_are_read(tmp_path, arrays):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, value in arrays.items():
            file["run/v" if key == "voltages" else key] = value
    (one,) = TASKS["eit"].load(tmp_path / "a.h5", key="run/v")
    assert one.y.equal(load(tmp_path / "a.npz", arrays).y)


def test_without_a_mesh_a_disc_is_made_and_said(tmp_path, arrays):
    bare = {k: v for k, v in arrays.items() if k not in ("nodes", "elements", "electrodes")}
    one = load(tmp_path / "a.npz", bare)
    assert len(one.physics.mesh.electrodes) == COUNT
    assert any("a disc was made" in note for note in one.notes)
    assert not any("a disc" in note for note in load(tmp_path / "b.npz", arrays).notes)


def test_electrodes_may_be_nodes_in_their_order_and_of_unequal_numbers(tmp_path):
    mesh = disc_mesh(COUNT)
    rows = np.full((COUNT, 7), -1)
    for number, edges in enumerate(mesh.electrodes):
        rows[number] = [*edges[:, 0], edges[-1, 1]]
    rows[0, -1] = -1
    np.savez(tmp_path / "m.npz", nodes=mesh.nodes, elements=mesh.elements, electrodes=rows)
    found, notes = read_mesh(tmp_path / "m.npz")
    assert notes == ()
    assert np.array_equal(found.electrodes[1], mesh.electrodes[1])
    assert np.array_equal(found.electrodes[0], mesh.electrodes[0][:-1])


def test_what_was_not_measured_is_left_out(tmp_path, arrays):
    lost = arrays["voltages"].copy()
    lost[2, 3:5] = np.nan
    one = load(tmp_path / "a.npz", {**arrays, "voltages": lost})
    assert any("2 of" in note and "not measured" in note for note in one.notes)
    assert not one.physics.mask[0, 0, 2, 3:5].any()
    assert one.physics.mask.sum() == lost.size - 2
    mask = np.isfinite(lost).astype(int)
    other = load(tmp_path / "b.npz", {**arrays, "mask": mask})
    assert other.physics.mask.equal(one.physics.mask)


def test_a_level_of_the_challenge_leaves_out_electrodes(tmp_path, arrays):
    one = load(tmp_path / "a.npz", arrays, level=2)
    assert not one.physics.injections[:2].any()
    assert not one.physics.patterns[:2].any()
    assert one.y.shape[2:] == (COUNT - 3, one.physics.injections.shape[1])
    assert one.physics.offset.shape == one.y.shape[2:]
    assert any(note.startswith("level 2") for note in one.notes)
    np.save(tmp_path / "clean.npy", PICTURE)
    simulate_eit(tmp_path / "clean.npy", tmp_path / "s.npz", tank=Tank(COUNT, level=2))
    with np.load(tmp_path / "s.npz") as stored:
        assert np.array_equal(stored["injections"], one.physics.injections)
        assert np.array_equal(stored["patterns"], one.physics.patterns)


def test_classes_beside_a_scan_are_no_reference(tmp_path, arrays):
    classes = {k: v for k, v in arrays.items() if k != "reference"}
    one = load(tmp_path / "a.npz", {**classes, "truth": np.zeros((256, 256), np.uint8)})
    assert one.reference is None
    assert any("--score ktc" in note for note in one.notes)


def test_the_fitted_background_is_said_since_it_tells_wrong_units(tmp_path, arrays):
    milli = {**arrays, "injections": 1e3 * arrays["injections"]}
    one = load(tmp_path / "a.npz", milli)
    (said,) = (note for note in one.notes if note.startswith("fitted"))
    assert f"{one.physics.background:.3g}" in said
    assert one.physics.background == pytest.approx(800, rel=0.1)
    assert "mA" in said


def test_transposed_voltages_are_turned_and_said(tmp_path, arrays):
    one = load(tmp_path / "a.npz", {**arrays, "voltages": arrays["voltages"].T})
    assert one.y.equal(load(tmp_path / "b.npz", arrays).y)
    assert any("the other way round" in note for note in one.notes)


# hostile input -------------------------------------------------------------------------------


def changed(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {**arrays, name: change(arrays[name].copy())}


def without(*names: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {k: v for k, v in arrays.items() if k not in names}


def put(place: Any, value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[place] = value
        return array

    return change


BAD: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "no voltages": (without("voltages"), "lacks 'voltages'"),
    "no patterns": (without("patterns"), "lacks 'patterns'"),
    "no injections": (without("injections"), "lacks 'injections'"),
    "a row of electrodes too few": (changed("injections", lambda a: a[1:]), "7 electrodes"),
    "patterns of other electrodes": (changed("patterns", lambda a: a[1:]), "for 7"),
    "both of other electrodes than the mesh": (
        lambda a: {**a, "injections": np.vstack([a["injections"], 0 * a["injections"][:1]]),
                   "patterns": np.vstack([a["patterns"], 0 * a["patterns"][:1]])},
        "8 electrodes.*9",
    ),
    "an injection too few": (changed("injections", lambda a: a[:, 1:]), "voltages.*has shape"),
    "a voltage too many": (changed("patterns", lambda a: a[:, 1:]), "voltages.*has shape"),
    "currents that do not add up": (changed("injections", put((0, 0), 9.0)), "add up to 0"),
    "transposed currents": (changed("injections", lambda a: a.T), "transpose|electrodes"),
    "no current at all": (changed("injections", put((slice(None), 2), 0.0)), "injection 3 drives"),
    "a pattern of nothing": (changed("patterns", put((slice(None), 1), 0.0)), "voltage 2"),
    "a pattern of both signs that does not add up": (
        changed("patterns", put((0, 0), 2.0)), "voltage 1 have both signs and add up to 1",
    ),
    "NaN currents": (changed("injections", put((0, 0), np.nan)), "NaN or infinite"),
    "infinite voltages": (changed("voltages", put((0, 0), np.inf)), "infinite"),
    "complex voltages": (changed("voltages", lambda a: a + 1j), "real part"),
    "text": (changed("voltages", lambda a: a.astype(str)), "voltages"),
    "dates": (changed("voltages", lambda a: a.astype("M8[s]")), "voltages"),
    "nothing measured": (changed("voltages", lambda a: a * np.nan), "zero everywhere"),
    "a voltage out of proportion": (changed("voltages", put((1, 2), -3e38)), "times as large"),
    "a reference out of proportion": (
        changed("reference_voltages", put((1, 2), -3e38)), "reference_voltages.*times as large",
    ),
    "one injection": (
        lambda a: {**a, "voltages": a["voltages"][:, :1], "injections": a["injections"][:, :1],
                   "reference_voltages": a["reference_voltages"][:, :1]},
        "at least 2",
    ),
    "the opposite sign": (
        lambda a: {**a, "voltages": -a["voltages"],
                   "reference_voltages": -a["reference_voltages"]},
        "opposite sign",
    ),
    "a reference in millivolts": (changed("reference_voltages", lambda a: 1e3 * a), "V and mV"),
    "a reference of zeros": (changed("reference_voltages", lambda a: 0 * a), "zero everywhere"),
    "a reference of another size": (changed("reference_voltages", lambda a: a[1:]), "has shape"),
    "a reference of other currents": (
        lambda a: {**a, "reference_injections": 2 * a["injections"]}, "same currents",
    ),
    "a reference of other injections": (
        lambda a: {**a, "reference_injections": a["injections"][:, ::-1]}, "same currents",
    ),
    "half a mesh": (without("electrodes"), "lacks 'electrodes'"),
    "a node too few": (changed("nodes", lambda a: a[:-1]), "names nodes"),
    "a negative node": (changed("elements", put((0, 0), -1)), "names nodes -1"),
    "nodes in space": (changed("nodes", lambda a: np.c_[a, a[:, :1]]), "plane"),
    "nodes on a line": (changed("nodes", lambda a: a * [1, 0]), "line"),
    "NaN nodes": (changed("nodes", put((3, 1), np.nan)), "NaN"),
    "a node of no triangle": (
        changed("nodes", lambda a: np.vstack([a, [[9.0, 9.0]]])), "no corner|counted",
    ),
    "quadrilaterals": (changed("elements", lambda a: np.c_[a, a[:, :1]]), r"\(k, 3\)"),
    "second order": (changed("elements", lambda a: np.c_[a, a]), "second order"),
    "fractions of nodes": (changed("elements", lambda a: a + 0.5), "fractions"),
    "a flat triangle": (changed("elements", lambda a: np.vstack([a, a[:1, [0, 1, 1]]])), "area"),
    "electrodes inside": (changed("electrodes", lambda a: a + 300), "boundary"),
    "electrodes that overlap": (changed("electrodes", put(0, 0)), "boundary|overlap"),
    "an empty electrode": (changed("electrodes", put(3, -1)), "electrode 4 has no boundary edge"),
    "electrodes without a width": (changed("electrodes", lambda a: a[:, 0, 0]), "width"),
    "an impedance of 0 ohms": (lambda a: {**a, "impedance": np.array([0.0, 1.0])}, "above 0"),
    "impedances of other electrodes": (lambda a: {**a, "impedance": np.ones(5)}, "impedance"),
    "a negative sigma": (changed("sigma", lambda a: -a), "above 0"),
    "a sigma of another shape": (lambda a: {**a, "sigma": np.ones((2, 2))}, "voltages' shape"),
    "a mask of another shape": (lambda a: {**a, "mask": np.ones((2, 2))}, "mask"),
    "a mask of halves": (lambda a: {**a, "mask": np.full(a["voltages"].shape, 0.5)}, "mask"),
    "a reference image of another shape": (
        changed("reference", lambda a: a[1:]), "image_shape",
    ),
    "an image of no pixels": (lambda a: {**a, "image_shape": np.array([0, 4])}, "image_shape"),
    "an image that fills the memory": (
        lambda a: {**a, "image_shape": np.array([2**20, 2**20])}, "image_shape",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_contradictions_are_refused_by_name(tmp_path, arrays, name):
    change, said = BAD[name]
    with pytest.raises(UserError, match=said) as error:
        load(tmp_path / "scan.npz", change(arrays))
    assert "scan.npz" in str(error.value)
    assert "cannot be read" not in str(error.value), "it was foreseen"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mesh": "scan.npz"}, None),
        ({"mesh": "none.npz"}, "none.npz"),
        ({"mesh": "clean.npy"}, "clean.npy must be"),
        ({"mesh": "bare.npz"}, "holds no mesh"),
        ({"reference_voltages": "bare.npz"}, "no reference voltages"),
        ({"level": 4}, "lower level"),
        ({"level": 9}, "levels 1 to 7"),
        ({"key": "nothing"}, "--key"),
    ],
)
def test_options_are_checked(tmp_path, arrays, options, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("clean.npy", PICTURE)
    np.savez("bare.npz", other=np.zeros(3))
    if said is None:
        assert load(Path("scan.npz"), arrays, **options)
        return
    with pytest.raises(UserError, match=said):
        load(Path("scan.npz"), arrays, **options)


# simulate ------------------------------------------------------------------------------------


def test_voltages_are_those_of_a_finer_model(tmp_path):
    """Without noise and with equal contacts the reconstruction's own mesh comes close."""
    np.save(tmp_path / "clean.npy", PICTURE)
    tank = Tank(COUNT, spread=0.0, impedance=1e-2)
    simulate_eit(tmp_path / "clean.npy", tmp_path / "a.npz", noise=0.0, tank=tank)
    (one,) = TASKS["eit"].load(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as stored:
        assert "sigma" in stored
        assert one.sigma is None
        truth = one.physics.changed(impedance=1e-2, offset=None, order=2)
        found = truth.A(one.reference)[0, 0].numpy()
        off = np.abs(found - stored["voltages"])
    assert 0 < off.max() < 0.005 * np.abs(found).max()


def test_noise_and_contacts_depend_on_the_seed_alone(tmp_path):
    np.save(tmp_path / "clean.npy", PICTURE)
    made = []
    for seed in (0, 0, 1):
        simulate_eit(tmp_path / "clean.npy", tmp_path / "a.npz", seed=seed, tank=Tank(COUNT))
        made.append((tmp_path / "a.npz").read_bytes())
    assert made[0] == made[1] != made[2]


def test_noise_has_the_size_that_is_written(tmp_path):
    np.save(tmp_path / "clean.npy", PICTURE)
    found = {}
    for noise in (0.0, 0.05):
        simulate_eit(tmp_path / "clean.npy", tmp_path / "a.npz", noise=noise, tank=Tank(COUNT))
        with np.load(tmp_path / "a.npz") as stored:
            found[noise] = dict(stored)
    sigma = float(found[0.05]["sigma"])
    assert sigma == pytest.approx(0.05 * np.abs(found[0.0]["voltages"]).mean())
    difference = found[0.05]["voltages"] - found[0.0]["voltages"]
    assert difference.std() == pytest.approx(sigma, rel=0.2)


def test_pictures_of_integers_are_conductivities_of_a_range(tmp_path):
    from PIL import Image

    Image.fromarray((127 + 100 * (PICTURE > 1)).astype(np.uint8)).save(tmp_path / "a.png")
    notes = simulate_eit(tmp_path / "a.png", tmp_path / "a.npz", tank=Tank(COUNT))
    assert any("--conductivity" in note for note in notes)
    with np.load(tmp_path / "a.npz") as stored:
        assert np.median(stored["reference"]) == pytest.approx(0.1 + 1.4 * 127 / 255)
    wide = Tank(COUNT, conductivity=(1.0, 3.0))
    assert simulate_eit(tmp_path / "a.png", tmp_path / "b.npz", tank=wide) == ()
    with np.load(tmp_path / "b.npz") as stored:
        assert np.median(stored["reference"]) == pytest.approx(1 + 2 * 127 / 255)


@pytest.mark.parametrize(
    ("picture", "tank", "noise", "said"),
    [
        (PICTURE[1:], Tank(COUNT), 0.0, "square"),
        (np.stack([PICTURE] * 3), Tank(COUNT), 0.0, "picture of one"),
        (PICTURE + 1j, Tank(COUNT), 0.0, "real picture"),
        (PICTURE - 0.8, Tank(COUNT), 0.0, "above 0"),
        (PICTURE[:4, :4], Tank(COUNT), 0.0, "8 x 8 or more"),
        (PICTURE, Tank(7), 0.0, "even number"),
        (PICTURE, Tank(COUNT, level=4), 0.0, "at least 4"),
        (PICTURE, Tank(COUNT, impedance=0.0), 0.0, "--impedance"),
        (PICTURE, Tank(COUNT, spread=-1.0), 0.0, "--impedance-spread"),
        (PICTURE, Tank(COUNT, conductivity=(0.0, 1.0)), 0.0, "--conductivity"),
        (PICTURE, Tank(COUNT), -1.0, "--noise"),
        (PICTURE, Tank(COUNT), float("nan"), "--noise"),
    ],
)
def test_simulate_checks_its_input(tmp_path, picture, tank, noise, said):
    np.save(tmp_path / "clean.npy", picture)
    with pytest.raises(UserError, match=said):
        simulate_eit(tmp_path / "clean.npy", tmp_path / "a.npz", noise=noise, tank=tank)
    assert not (tmp_path / "a.npz").exists()
