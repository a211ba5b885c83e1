"""A folder that results are written into: nothing of others is touched, and no kill loses any."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import tree

from untrained.errors import UserError
from untrained.files import is_sealed, is_whole, sealed_write
from untrained.folder import WORK, hold, read_facts

OLD = {"reconstruction.npy": b"old a", "classical.npy": b"old b", "std.npy": b"old"}
NEW = {"reconstruction.npy": b"new a", "classical.npy": b"new b", "history.csv": b"new"}


def publish(path: Path, files: dict[str, bytes], *, finished: bool = True) -> None:
    with hold(path) as folder:
        writers = {
            name: lambda stream, content=content: stream.write(content)
            for name, content in files.items()
        }
        folder.publish(writers, {"seed": len(files)} if finished else None)


def contents(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()}


def whole(path: Path) -> dict[str, bytes] | None:
    """The files of a finished result that is what it says of itself, without `result.json`."""
    if read_facts(path / "result.json") is None:
        return None
    found = contents(path)
    del found["result.json"]
    return found


class Killed(BaseException):
    """Stands for a process that is no more."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the process die before its n-th change to a file system."""

    def arm(count: int) -> None:
        left = [count]

        def dying(name: str) -> None:
            real = getattr(os, name)

            def change(*arguments: object, **named: object) -> object:
                left[0] -= 1
                if left[0] < 0:  # nor does a dead process clean up
                    raise Killed
                return real(*arguments, **named)

            monkeypatch.setattr(os, name, change)

        for name in ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync"):
            dying(name)

    return arm


@pytest.mark.parametrize("finished", [True, False])
def test_a_kill_at_any_moment_leaves_the_old_result_or_the_new_one(
    tmp_path: Path,
    kill_at: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    finished: bool,
) -> None:
    deaths = 0
    for moment in range(100):
        path = tmp_path / str(moment)
        publish(path, OLD)
        (path / "mine.txt").write_text("mine")
        with monkeypatch.context():
            kill_at(moment)
            try:
                publish(path, NEW, finished=finished)
            except Killed:
                deaths += 1
            monkeypatch.undo()
        mine = {"mine.txt": b"mine"}
        before = whole(path)
        assert before in (None, OLD | mine, NEW | mine), f"a mixture looks finished: {moment}"
        with hold(path):
            pass  # whoever comes next puts it right
        after = whole(path) if finished else (whole(path) or contents(path))
        assert after in (OLD | mine, NEW | mine), moment
        publish(path, OLD)
        assert whole(path) == OLD | mine
        assert not (path / WORK).exists()
        if deaths == moment:  # it lived to its end
            break
    assert deaths > 20


def random_content(path: Path, draw: random.Random, names: list[str]) -> None:
    """Fill a folder with files, folders and links by such names."""
    path.mkdir()
    (path.parent / "elsewhere").write_text("somebody's")
    for name in draw.sample(names, draw.randint(1, len(names))):
        kind = draw.choice(["file", "file", "empty", "folder", "link", "dangling"])
        if kind == "folder":
            (path / name / "inside").mkdir(parents=True)
            (path / name / "inside" / "result.json").write_text("{}")
        elif kind in ("link", "dangling"):
            (path / name).symlink_to(path.parent / ("elsewhere" if kind == "link" else "nowhere"))
        else:
            (path / name).write_bytes(draw.randbytes(0 if kind == "empty" else 30))


@pytest.mark.parametrize("seed", range(30))
def test_files_of_others_are_never_touched(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    names = [*NEW, "result.json", "state.pt", "slice-0", "seed-1", ".lock", "notes.txt", WORK]
    path = tmp_path / "out"
    random_content(path, draw, names)
    before = tree(tmp_path)
    try:
        publish(path, NEW)
    except UserError as error:
        assert "nothing was touched" in str(error)
        assert tree(tmp_path) == before
    else:
        after = tree(tmp_path)
        assert after.items() >= before.items()
        publish(path, OLD)
        assert tree(tmp_path).items() >= before.items()


def test_a_file_that_was_changed_since_is_somebodys(tmp_path: Path) -> None:
    publish(tmp_path, OLD)
    (tmp_path / "classical.npy").write_bytes(b"my own b")
    with pytest.raises(UserError, match=r"classical\.npy; nothing was touched"):
        publish(tmp_path, NEW)
    assert contents(tmp_path)["reconstruction.npy"] == b"old a"


def test_a_result_json_that_was_changed_proves_nothing(tmp_path: Path) -> None:
    publish(tmp_path, OLD)
    facts = json.loads((tmp_path / "result.json").read_text())
    facts["files"]["classical.npy"] = "0" * 64
    (tmp_path / "result.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"reconstruction\.npy, classical\.npy, result\.json"):
        publish(tmp_path, NEW)


def test_links_and_folders_by_our_names_are_somebodys(tmp_path: Path) -> None:
    publish(tmp_path / "out", OLD)
    (tmp_path / "precious").write_bytes(b"old a")
    (tmp_path / "out" / "reconstruction.npy").unlink()
    (tmp_path / "out" / "reconstruction.npy").symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match=r"reconstruction\.npy"):
        publish(tmp_path / "out", NEW)
    assert (tmp_path / "precious").read_bytes() == b"old a"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        hold(tmp_path),
        pytest.raises(UserError, match="another process is writing"),
        hold(tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_seal_breaks_with_any_bit(tmp_path: Path) -> None:
    path = tmp_path / "sealed"
    with sealed_write(path) as stream:
        stream.write(b"some")
        stream.write(b"thing")
    content = path.read_bytes()
    assert is_sealed(path)
    assert is_whole(path)
    for place in range(8 * len(content)):
        broken = bytearray(content)
        broken[place // 8] ^= 1 << place % 8
        path.write_bytes(broken)
        assert not (is_sealed(path) and is_whole(path))
    path.write_bytes(content[:-1])
    assert not is_sealed(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "reconstruction.npy")
    assert not is_sealed(tmp_path / "reconstruction.npy")
    with pytest.raises(UserError, match=r"reconstruction\.npy"):
        publish(tmp_path, NEW)


@pytest.mark.parametrize("name", ["new", "aside", "slice-0", "seeds-1"])
@pytest.mark.parametrize("kind", ["file", "link", "part", "pipe"])
def test_nothing_foreign_in_the_working_folder_is_touched(
    tmp_path: Path, name: str, kind: str
) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    publish(out, OLD)
    mine.mkdir()
    (mine / "reconstruction.npy").write_text("precious")
    (out / WORK).mkdir()
    if kind == "link":
        (out / WORK / name).symlink_to(mine)
    else:
        (out / WORK / name).mkdir()
        inside = out / WORK / name / (".mine.part" if kind == "part" else "list.json")
        os.mkfifo(inside) if kind == "pipe" else inside.write_text("precious")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="in the way, and this program did not make it"):
        publish(out, NEW)
    assert set(tmp_path.rglob("*")) == before
    assert (mine / "reconstruction.npy").read_text() == "precious"
