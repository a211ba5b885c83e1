"""`untrained bench` as its user meets it."""

import json
from pathlib import Path

import pytest
from command_line import call

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def blank_curves() -> None:
    """Draw the curves of the report."""


def test_run_table_report_and_run_again(write_grid, pictures: Path, capsys) -> None:
    out = pictures / "out"
    grid = write_grid(tail="[small]\nimages = 1\n")
    once = ("bench", "run", grid, "--out", out, "--jobs", 1)
    assert call(*once, "--only", "*/picture-a/*") == 0
    said = capsys.readouterr()
    assert "4 jobs: 2 done, 2 missing" in said.out
    assert max(map(len, said.out.replace(str(out), "out").splitlines())) <= 80
    before = {p: p.stat().st_mtime_ns for p in out.rglob("result.json")}
    assert call(*once, "--quiet") == 0
    assert capsys.readouterr().out == ""
    after = {p: p.stat().st_mtime_ns for p in out.rglob("result.json")}
    assert len(after) == 4
    assert before.items() <= after.items()
    assert call("bench", "table", out) == 0
    said = capsys.readouterr().out
    assert "2/2" in said
    assert (out / "table.csv").exists()
    assert (out / "summary.csv").exists()
    assert call("bench", "table", out, "--json", "--out", pictures / "mine.csv") == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in facts["rows"]] == 4 * ["done"]
    assert len(facts["summary"]) == 2
    assert (pictures / "mine.csv").exists()
    assert call("bench", "report", out) == 0
    assert "data:image/png" in (out / "report.html").read_text(encoding="utf-8")
    assert call(*once, "--small") == 2
    assert "choose another" in capsys.readouterr().err


def test_a_failed_job_is_a_row_and_status_1(write_grid, pictures: Path, capsys) -> None:
    out = pictures / "out"
    (pictures / "bare.npy").write_bytes((pictures / "picture-a.npy").read_bytes())
    grid = write_grid(
        cases='[[cases]]\ntask = "denoise"\nfile = "bare.npy"\n',
        runs='[[runs]]\nmethod = "adjoint"\n',
    )
    once = ("bench", "run", grid, "--out", out, "--jobs", 1)
    assert call(*once) == 1
    assert "failed: denoise/bare/adjoint/0: UserError:" in capsys.readouterr().err
    assert call(*once) == 1
    assert "failed:" not in capsys.readouterr().err  # it was not done again
    assert call(*once, "--quiet", "--retry") == 1
    assert call("bench", "table", out) == 0
    said = capsys.readouterr().out
    assert "0/1" in said
    assert "holds no reference" in " ".join(said.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "gone.toml"], "there is no file gone.toml"),
        (["run", "grid.toml", "--only", "*/hause/*"], "no job matches"),
        (["run", "grid.toml", "--small"], "there is no [small]"),
        (["run", "grid.toml", "--jobs", "0"], "--jobs"),
        (["table", "."], "is not a directory of `untrained bench run`"),
        (["report", "."], "is not a directory of `untrained bench run`"),
        (["spead"], "No such command"),
    ],
)
def test_wrong_use_exits_2_and_names_the_culprit(
    write_grid, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys, arguments, message
) -> None:
    write_grid()
    monkeypatch.chdir(pictures)
    assert call("bench", *arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
