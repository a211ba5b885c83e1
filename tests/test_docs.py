"""The documentation is true: links, commands, snippets, examples and settings tables.

`python tests/test_docs.py` writes the settings tables of docs/methods anew from the recipes.
"""

import ast
import builtins
import dataclasses
import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from small_priors import small_prior
from weight_files import APPLIED, trained

import untrained as ut
from untrained.cli.commands import commands
from untrained.core.recipe import Recipe
from untrained.data import TASKS
from untrained.data.parameters import kernel_size
from untrained.priors import Prior
from untrained.run.plan import plan

ROOT = Path(__file__).resolve().parents[1]
METHOD_PAGES = ROOT / "docs" / "methods"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
HEADINGS = [
    "In one sentence",
    "The equations",
    "Settings",
    "Where the paper and its code differ",
    "Implementation details",
    "When to use it",
    "Source",
]
NETWORKS = {
    name: card for name, card in ut.METHODS.items() if not card.classical and name != "house"
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- end -->)", re.DOTALL)
LONGEST = {"cauchy_data.py": 64}
"""Lines of an example, where that is not 40: this one holds a model of finite elements."""

SMALL = {
    "cauchy_data.py": {"SIDE, ORDER, STEPS": "16, 3, 12"},
    "denoise_photo.py": {"SIDE, SIGMA, STEPS": "32, 0.1, 25"},
    "own_operator.py": {"SIDE, SHARE, STEPS": "16, 0.6, 25"},
    "own_stop_rule.py": {"SIDE, STEPS, SHARE": "16, 60, 0.9"},
    "write_a_method.py": {"SIDE, ROUNDS, NET": "16, 4, ut.nets.Compact(widths=(4, 8))"},
}


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [text for kind, text in found if kind == language]


# links and headings ---------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", prose)
    local = [t for t in targets if not re.match(r"[a-z]+:", t)]
    assert [t for t in local if not (page.parent / t).exists()] == []


def test_every_page_of_the_documentation_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / link).resolve() for link in links]
    assert [named(page) for page in PAGES if page not in reached] == []


@pytest.mark.parametrize("name", [n for n in ut.METHODS if n != "house"])
def test_every_method_has_a_page_under_the_fixed_headings(name: str) -> None:
    page = METHOD_PAGES / ("classical.md" if ut.METHODS[name].classical else f"{name}.md")
    text = page.read_text(encoding="utf-8")
    title = text.partition("\n")[0]
    assert title.startswith("# ")
    assert name in re.split(r"\W+", title)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS


def test_the_page_of_methods_names_their_families() -> None:
    text = (METHOD_PAGES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \|[^|]*\| ([^|]*) \|", text, re.MULTILINE)
    families = {name: card.family for name, card in ut.METHODS.items() if not card.classical}
    assert dict(rows) == families | {"classical": "classical"}


# settings -------------------------------------------------------------------------------------


def settings_tables(name: str) -> str:
    """Markdown tables of a method's recipes; tasks with equal settings share a row."""
    equations = _table(name, ("steps", "method"), lambda r: (str(r.budget), _fields(r.method)))
    around = _table(name, ("network", "engine", "stop", "output"), _around)
    return f"{equations}\n{around}"


def _table(name: str, columns: tuple[str, ...], cells: Callable[[Recipe], tuple[str, ...]]) -> str:
    card = NETWORKS[name]
    assert card.recipe is not None
    lines = [_row("preset", "tasks", *columns), "|---" * (2 + len(columns)) + "|"]
    for preset in ("paper", "fast", "best"):
        rows: dict[tuple[str, ...], list[str]] = {}
        for task in card.tasks:
            rows.setdefault(cells(card.recipe(task, preset)), []).append(task)
        for row, tasks in rows.items():
            every = tasks == list(card.tasks)
            lines.append(_row(f"`{preset}`", "all" if every else ", ".join(tasks), *row))
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _fields(method: ut.Method) -> str:
    """The equations' settings; `rounds` is told by the number of steps."""
    fields = [f.name for f in dataclasses.fields(method) if f.name != "rounds"]  # type: ignore[arg-type]
    return f"`{', '.join(f'{f}={shown(getattr(method, f))}' for f in fields)}`"


def _around(recipe: Recipe) -> tuple[str, ...]:
    output = changed(recipe.output)
    if recipe.guard is not None:
        output += f" with {changed(recipe.guard)}"
    engine = changed(recipe.engine)
    if recipe.weighting != "uniform":
        engine += f", residuals weighted by `{recipe.weighting}`"
    return changed(recipe.net), engine, changed(recipe.stop), output


def changed(thing: object) -> str:
    """`Name(field=value)` with the fields that differ from the class's defaults."""
    assert dataclasses.is_dataclass(thing)
    kept = [
        f"{f.name}={shown(getattr(thing, f.name))}"
        for f in dataclasses.fields(thing)
        if getattr(thing, f.name) != f.default
    ]
    return f"`{type(thing).__name__}({', '.join(kept)})`"


def shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_settings_table_is_that_of_the_recipes(name: str) -> None:
    text = (METHOD_PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert TABLE.findall(text) == [settings_tables(name)], "run `python tests/test_docs.py`"


# commands -------------------------------------------------------------------------------------


def command_lines(page: Path) -> list[str]:
    """Every `untrained ...` of the code blocks, continued lines joined."""
    text = "\n".join(blocks(page, "")).replace("\\\n", " ")
    lines = [part.strip() for line in text.split("\n") for part in line.split("&&")]
    return [line for line in lines if line.startswith("untrained ")]


def inline_commands(page: Path) -> list[str]:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(c.split()) for c in re.findall(r"`(untrained [^`]+)`", prose)]


def parse(line: str, resilient: bool = False) -> click.Context:
    """Everything that click does with a command before running it."""
    arguments = shlex.split(line, comments=True)[1:]
    command: click.Command = commands
    while isinstance(command, click.Group) and arguments:
        name = arguments.pop(0)
        if name.isupper() or "|" in name:  # a placeholder of a synopsis
            return click.Context(command)
        assert name in command.commands, f"{line}: no command '{name}'"
        command = command.commands[name]
    return command.make_context(command.name, arguments, resilient_parsing=resilient)


ALL_LINES = [(page, line) for page in PAGES for line in command_lines(page)]


def _prior_of(method: str) -> Prior:
    """A prior of the kind that a command's method asks."""
    return trained(APPLIED[method]) if method in APPLIED else small_prior()


@pytest.mark.parametrize(("page", "line"), ALL_LINES, ids=[line for _, line in ALL_LINES])
def test_every_command_shown_parses_and_its_names_and_settings_exist(
    page: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "examples")  # one names a method in a file there
    given = parse(line).params
    if line.split()[1] != "reconstruct":
        return
    chosen = {k: given[k] for k in ("method", "preset", "settings", "stop", "output")}
    prior = _prior_of(chosen["method"]) if given["prior"] else None
    blind = () if kernel_size(given.get("kernel")) is None else ("kernel",)
    chosen |= {"prior": prior, "unknown": blind}
    found = plan(line.split()[2], steps=given["steps"] or 0, **chosen)
    assert found.task == line.split()[2]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_named_in_a_sentence_exists(page: Path) -> None:
    for line in inline_commands(page):
        parse(line, resilient=True)


def test_the_check_of_commands_would_notice() -> None:
    with pytest.raises(click.UsageError):
        parse("untrained reconstruct denoise photo.png --sgima auto")
    with pytest.raises(AssertionError):
        parse("untrained reconstuct denoise photo.png")


# snippets and examples ------------------------------------------------------------------------


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL_VOLUME = {"depth=16": "depth=3", "(1, 2, 16, 24, 24)": "(1, 2, 3, 24, 24)"}


def run_blocks(page: str, names: dict[str, object], smaller: dict[str, str]) -> dict[str, object]:
    """Run a page's Python blocks one after the other, as a reader would.

    Every text of `smaller` has to be there once, and is replaced by its value.
    """
    texts = blocks(ROOT / "docs" / page, "python")
    for long, short in smaller.items():
        assert sum(text.count(long) for text in texts) == 1
        texts = [text.replace(long, short) for text in texts]
    for number, text in enumerate(texts):
        exec(compile(text, f"{page}, block {number}", "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_python_block_compiles(page: Path) -> None:
    for text in blocks(page, "python"):
        ast.parse(text)


def used_and_never_made(text: str) -> set[str]:
    """Names of a snippet that a reader would have to guess."""
    nodes = list(ast.walk(ast.parse(text)))
    made = {node.id for node in nodes if isinstance(node, ast.Name) and type(node.ctx) is ast.Store}
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    made |= {n.name for n in nodes if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(a.asname or a.name).partition(".")[0] for a in node.names}
    return {n.id for n in nodes if isinstance(n, ast.Name)} - made - set(dir(builtins))


def test_every_snippet_of_the_operators_page_stands_alone() -> None:
    snippets = blocks(ROOT / "docs" / "operators.md", "python")
    assert [used_and_never_made(text) for text in snippets] == [set()] * len(snippets)
    assert used_and_never_made("network = ut.physics.load_bkse('w.pth')") == {"ut"}


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compact networks of two scales and few channels, whatever the recipe says."""
    build = ut.nets.Compact.build
    few = lambda net, *sizes: build(dataclasses.replace(net, widths=(4, 8)), *sizes)  # noqa: E731
    monkeypatch.setattr(ut.nets.Compact, "build", few)


@pytest.mark.usefixtures("thin")
def test_the_snippets_of_the_python_page_run(quiet: Path) -> None:
    names = run_blocks("python.md", {}, SMALL_VOLUME)
    assert (quiet / "out" / "result.json").exists()
    assert isinstance(names["result"], ut.Result)


def test_the_files_that_the_file_page_writes_are_read(quiet: Path) -> None:
    rng = np.random.default_rng(0)
    kspace = rng.standard_normal((2, 24, 24)) + 1j * rng.standard_normal((2, 24, 24))
    turns = np.eye(16) - np.roll(np.eye(16), 1, axis=0)
    tank = ut.physics.EIT(ut.physics.disc_mesh(16), 1e-3 * turns, turns, (1, 16, 16))
    given = {
        "kspace": kspace,
        "sinogram": rng.random((12, 24)),
        "voltages": tank.A(torch.ones(1, 1, 16, 16))[0, 0].numpy(),
    }
    run_blocks("files.md", given, {})
    scan = TASKS["mri"].load("scan.npz", maps="lowres")
    assert isinstance(scan, list)
    assert scan[0].y.shape == (1, 2, 2, 24, 24)
    (parallel,) = TASKS["ct"].load("views.npz")
    (fan,) = TASKS["ct"].load("fan.npz")
    (body,) = TASKS["eit"].load("tank.npz")
    assert body.physics.background == pytest.approx(1, rel=1e-4)
    (again,) = TASKS["ct"].load("views.npz", geometry=_written("fan.json", "files.md"))
    assert parallel.physics.geometry.fan is None
    assert fan.physics.geometry.fan == ut.physics.FanBeam(300.0, 450.0)
    assert again.physics.geometry.fan == ut.physics.FanBeam(300.0, 450.0)


def _written(name: str, page: str) -> str:
    text = blocks(ROOT / "docs" / page, "json")[0]
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_the_operator_shown_is_one_and_reconstructs(quiet: Path) -> None:
    source = blocks(ROOT / "docs" / "operators.md", "python")[0]
    assert len(source.splitlines()) <= 25
    Path("mine.py").write_text(source, encoding="utf-8")
    names = runpy.run_path("mine.py")
    physics = names["Operator"]()
    assert ut.physics.check_operator(physics).ok
    with torch.no_grad():
        np.save("data.npy", physics.A(torch.rand(1, *physics.x_shape))[0].numpy())
    line = "reconstruct custom data.npy --physics mine.py:Operator --method dip --quiet"
    small = "--steps 25 --set net.widths=4,8 --threads 1"
    assert commands.main(shlex.split(f"{line} {small}"), standalone_mode=False) == 0
    image = np.load("untrained-out/custom-data/reconstruction.npy")
    assert image.shape == physics.x_shape[1:]


@pytest.mark.parametrize("example", SMALL)
def test_the_example_runs_offline(example: str, quiet: Path) -> None:
    source = (ROOT / "examples" / example).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST.get(example, 40)
    for names, values in SMALL[example].items():
        source, found = re.subn(rf"^{names} = .*$", f"{names} = {values}", source, flags=re.M)
        assert found == 1
    Path(example).write_text(source, encoding="utf-8")
    ran = runpy.run_path(example, run_name="__main__")
    if example == "cauchy_data.py":
        _check_cauchy_data(ran["physics"])
    if example == "own_stop_rule.py":
        assert ran["result"].stop[0].rule == "fallen"
        assert ran["result"].steps < 60
    if example == "write_a_method.py":
        assert torch.equal(ran["limit"], ran["theirs"])
        np.save("noisy.npy", ran["problem"].y[0, 0].numpy())
        line = f"reconstruct denoise noisy.npy --method {example}:Relaxed --set beta=0.3 --quiet"
        small = "--set net.widths=4,8 --threads 1 --no-compare"
        assert commands.main(shlex.split(f"{line} {small}"), standalone_mode=False) == 0


def _check_cauchy_data(physics: Any) -> None:
    """Check that with s = 1 the current of cos(k t) is k cos(k t), and that A_vjp is A's slope."""
    powers = physics.A(torch.zeros(2, 1, 16, 16, dtype=torch.float64))[1]
    expected = torch.diag(torch.tensor([1.0, 2, 3, 1, 2, 3], dtype=torch.float64) * np.pi)
    assert (powers - expected).abs().max() < 0.01 * np.pi
    draw = torch.Generator().manual_seed(0)
    x, step, v = (
        torch.randn(shape, generator=draw, dtype=torch.float64)
        for shape in ((1, 1, 16, 16), (1, 1, 16, 16), (1, 6, 6))
    )
    slope = (physics.A(x + 1e-5 * step) - physics.A(x - 1e-5 * step)) / 2e-5
    assert float((slope * v).sum()) == pytest.approx(float((physics.A_vjp(x, v) * step).sum()))


def test_all_examples_are_run() -> None:
    assert sorted(p.name for p in (ROOT / "examples").iterdir()) == sorted(SMALL)


if __name__ == "__main__":
    for method in NETWORKS:
        place = METHOD_PAGES / f"{method}.md"
        rewritten = TABLE.sub(lambda _, m=method: settings_tables(m), place.read_text("utf-8"))
        place.write_text(rewritten, encoding="utf-8")
