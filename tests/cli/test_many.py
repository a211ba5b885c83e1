"""`reconstruct` of several files, folders and patterns: one job each, and none stops another."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from untrained.cli import main
from untrained.cli.inputs import directory_names, find_inputs, is_input
from untrained.errors import UserError

QUICK = ["--method", "adjoint", "--quiet"]


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", *map(str, words)])
    return int(ended.value.code or 0)


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "summary.csv").open(newline="") as stream:
        return {row["directory"]: row for row in csv.DictReader(stream)}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three noisy pictures, one damaged file and one that is no picture."""
    folder = tmp_path / "scans"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for i in (1, 2, 10):
        np.save(folder / f"s{i}.npy", draw.random((16, 20)).astype(np.float32))
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("read me")
    return folder


def test_a_folder_is_many_jobs_and_a_bad_file_stops_none(scans: Path, tmp_path: Path, capsys):
    """Statuses and numbers of the table, links of the page, the reason at the end, exit 2."""
    out = tmp_path / "all"
    assert call("denoise", scans, "--method", "adjoint", "--sigma", "25", "--out", out) == 2
    said = capsys.readouterr()
    rows = rows_of(out)
    assert list(rows) == ["broken", "s1", "s2", "s10"]
    assert [row["status"] for row in rows.values()] == ["refused", "done", "done", "done"]
    assert "damaged" in rows["broken"]["reason"]
    assert rows["s1"]["method"] == "adjoint"
    assert float(rows["s1"]["seconds"]) >= 0
    assert "broken.png: refused" in said.err.splitlines()[-1]
    assert "passed over notes.txt" in said.err
    assert re.search(r"\[3/4\] \S+s2.npy -> \S+; about .* left", said.err)
    assert "4 files: 1 refused, 3 done" in said.out
    page = (out / "index.html").read_text()
    links = {unquote(link) for link in re.findall(r'href="([^"]+)"', page)}
    assert links == {f"{name}/report.html" for name in ("s1", "s2", "s10")}
    assert all((out / link).is_file() for link in links)
    assert page.count("data:image/jpeg") == 3
    assert "Not done" in page


def test_a_job_is_what_the_file_gives_alone(scans: Path, tmp_path: Path) -> None:
    """Bit for bit, by a network: nothing of one file reaches the next."""
    quick = ["--method", "dip", "--steps", "3", "--set", "net.widths=4,4", "--sigma", "25"]
    out = tmp_path / "all"
    call("denoise", scans, *quick, "--no-compare", "--quiet", "--out", out)
    alone = tmp_path / "alone"
    call("denoise", scans / "s2.npy", *quick, "--no-compare", "--quiet", "--out", alone)
    pictures = [np.load(place / "reconstruction.npy") for place in (out / "s2", alone)]
    assert np.array_equal(*pictures)


def test_resume_skips_what_is_finished_and_tries_the_rest_again(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished files are not even read; other settings and changed files are no skip."""
    out = tmp_path / "all"
    job = ["denoise", scans, *QUICK, "--sigma", "25", "--out", out]
    assert call(*job) == 2
    assert call(*job) == 2, "never overwritten unasked"
    before = {path: path.stat().st_mtime_ns for path in out.glob("s*/result.json")}
    import PIL.Image

    PIL.Image.fromarray(np.full((16, 20), 99, np.uint8)).save(scans / "broken.png")
    read = []
    many = sys.modules["untrained.cli.many"]
    carry_out = many.carry_out
    monkeypatch.setattr(many, "carry_out", lambda c, f, *a: read.append(f) or carry_out(c, f, *a))
    assert call(*job, "--resume") == 0
    assert [Path(file).name for file in read] == ["broken.png"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads((out / "result.json").read_text())["rows"][0]["status"] == "done"
    np.save(scans / "s1.npy", np.zeros((16, 20), np.float32) + 0.5)
    assert call(*job, "--resume") == 2, "a result of other measurements is never replaced"
    assert "other measurements" in rows_of(out)["s1"]["reason"]
    assert call(*job, "--overwrite") == 0
    assert np.load(out / "s1" / "reconstruction.npy").std() == 0


def test_an_interrupted_lot_goes_on(scans: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """Ctrl-C in the third file: 130, what was done is kept, --resume does the rest."""
    out = tmp_path / "all"
    (scans / "broken.png").unlink()
    job = ["denoise", scans, *QUICK, "--sigma", "25", "--out", out]
    many = sys.modules["untrained.cli.many"]
    carry_out = many.carry_out

    def interrupted(chosen, file, *rest):
        if file.endswith("s10.npy"):
            raise KeyboardInterrupt
        return carry_out(chosen, file, *rest)

    monkeypatch.setattr(many, "carry_out", interrupted)
    assert call(*job) == 130
    assert "--resume" in capsys.readouterr().err
    assert [row["status"] for row in rows_of(out).values()] == ["done", "done", "interrupted"]
    assert not (out / "result.json").exists(), "it would say that all is finished"
    monkeypatch.setattr(many, "carry_out", carry_out)
    assert call(*job) == 2, "unfinished work needs a flag"
    assert call(*job, "--resume") == 0
    assert {row["status"] for row in rows_of(out).values()} == {"done"}


def test_what_is_unforeseen_in_one_file_is_status_1(scans: Path, tmp_path: Path, monkeypatch):
    """A fault of the program in one file is told apart from bad input, and stops none either."""
    many = sys.modules["untrained.cli.many"]
    carry_out = many.carry_out
    monkeypatch.setattr(
        many, "carry_out", lambda c, f, *a: 1 / 0 if "s1." in f else carry_out(c, f, *a)
    )
    out = tmp_path / "all"
    assert call("denoise", scans, *QUICK, "--sigma", "25", "--out", out) == 1
    status = {name: row["status"] for name, row in rows_of(out).items()}
    assert status == {"broken": "refused", "s1": "failed", "s2": "done", "s10": "done"}


def test_options_take_a_folder_with_a_partner_for_every_file(scans: Path, tmp_path: Path) -> None:
    """--mask and --reference: of the same stem; a missing reference is none, a missing mask bad."""
    (scans / "broken.png").unlink()
    masks, references = tmp_path / "masks", tmp_path / "references"
    masks.mkdir()
    references.mkdir()
    for i in (1, 2):
        np.save(masks / f"s{i}.npy", (np.arange(320).reshape(16, 20) % (i + 1) > 0).astype(float))
    np.save(references / "s1.npy", np.load(scans / "s1.npy"))
    out = tmp_path / "all"
    given = ["--mask", masks, "--reference", references]
    assert call("inpaint", scans, *QUICK, *given, "--out", out) == 2
    rows = rows_of(out)
    assert [rows[name]["status"] for name in ("s1", "s2", "s10")] == ["done", "done", "refused"]
    assert "no file by the name s10" in rows["s10"]["reason"]
    assert rows["s1"]["psnr"]
    assert not rows["s2"]["psnr"]
    assert np.count_nonzero(np.load(out / "s1" / "reconstruction.npy") == 0) == 160


def test_one_run_and_many_do_not_mix(scans: Path, tmp_path: Path, capsys) -> None:
    """A directory holds one result or many, whatever flag is given."""
    one, many = tmp_path / "one", tmp_path / "many"
    file = scans / "s1.npy"
    assert call("denoise", file, *QUICK, "--out", one) == 0
    for flag in ([], ["--resume"], ["--overwrite"]):
        assert call("denoise", file, scans / "s2.npy", *QUICK, *flag, "--out", one) == 2
        assert "result of a single file" in capsys.readouterr().err
    assert call("denoise", file, scans / "s2.npy", *QUICK, "--out", many) == 0
    for flag in ([], ["--resume"], ["--overwrite"]):
        assert call("denoise", file, *QUICK, *flag, "--out", many) == 2
        assert "results of many files" in capsys.readouterr().err
    (many / "summary.csv").write_text("mine")
    pair = ["denoise", file, scans / "s2.npy"]
    assert call(*pair, *QUICK, "--overwrite", "--out", many) == 2
    assert (many / "summary.csv").read_text() == "mine"


def test_a_dry_run_adds_up(scans: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """Files of one size are measured once and counted each; a bad file is named."""
    monkeypatch.chdir(tmp_path)
    job = ["denoise", scans, "--method", "dip", "--set", "net.widths=4,4", "--sigma", "25"]
    assert call(*job, "--dry-run", "--json") == 2
    facts = json.loads(capsys.readouterr().out)
    (kind,) = facts["kinds"]
    assert kind["files"] == 3
    assert facts["seconds"] == pytest.approx(3 * kind["seconds"], abs=0.1)
    assert facts["peak_memory_mb"] == kind["peak_memory_mb"]
    assert [Path(file).name for file in facts["refused"]] == ["broken.png"]
    assert not Path("untrained-out").exists()


def test_files_are_found_by_patterns_folders_and_names(scans: Path, tmp_path: Path) -> None:
    """Natural order, each once, options' files left out; a lone file is no lot."""
    found = find_inputs("denoise", [str(scans / "s*.npy"), str(scans)], [str(scans / "broken.png")])
    assert [Path(file).name for file in found.files] == ["s1.npy", "s2.npy", "s10.npy"]
    assert found.many
    assert found.stem == "scans"
    assert find_inputs("denoise", ["none.png"]).many is False
    for paths, message in (
        ([str(scans / "*.tif")], "no file matches"),
        ([str(scans / "s1.npy"), "none.png"], "there is no file none.png"),
        ([str(tmp_path / "empty")], "is a folder without a file that denoise reads"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=message):
            find_inputs("denoise", paths)


def test_a_picture_is_no_input_of_a_scanners_task(tmp_path: Path) -> None:
    """A preview beside scans is passed over; of BART's two files one counts."""
    for name in ("a.cfl", "a.hdr", "b.hdr", "c.png", "d.h5"):
        (tmp_path / name).write_bytes(b"x")
    found = ("a.cfl", "a.hdr", "b.hdr", "c.png", "d.h5", "e.txt")
    assert [n for n in found if is_input("mri", tmp_path / n)] == ["a.cfl", "b.hdr", "d.h5"]
    assert is_input("inpaint", tmp_path / "c.png")


def test_two_results_never_share_a_directory() -> None:
    """Equal stems keep their suffix, equal names a number, whatever their case."""
    names = directory_names(["x/a.png", "x/a.tif", "y/a.png", "x/B.png", "x/b.npy", "c.npy"])
    assert names == ["a.png", "a.tif", "a.png-2", "B.png", "b.npy", "c"]
