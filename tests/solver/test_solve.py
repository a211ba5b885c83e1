"""The loop: seeds, groups, resume, split, guard against NaN."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.core.method import Method
from untrained.core.rule import Frame, Guard, Never, Output, Stop
from untrained.core.rule_memory import Memory
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.nets import Compact
from untrained.rules import Average, HeldOut, Rollback
from untrained.run.solve import solve
from untrained.solver.fit import stack_fits

NET = Compact(widths=(8, 16), skip=4)
MUON = ut.Engine("muon", lr=0.02, warmup=3, precision="fp32")


def picture(size: tuple[int, int] = (24, 20), seed: int = 0) -> Tensor:
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in size], indexing="ij")
    clean = 0.5 + 0.3 * torch.sin(4 * x + seed) * torch.cos(3 * y)
    noise = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    return (clean + 0.1 * noise)[None, None]


def problem(*seeds: int) -> ut.Problem:
    y = torch.cat([picture(seed=s) for s in seeds or (0,)])
    return ut.Problem(y, ut.physics.Denoise(y.shape[1:]), sigma=0.1)


METHODS = {
    "dip": ut.methods.DIP(rounds=12),
    "tvdip": ut.methods.TVDIP(rounds=12),
    "aseqdip": ut.methods.ASeqDIP(rounds=6, inner=2),
    "house": ut.methods.House(rounds=12),
}


def test_the_global_generator_is_neither_used_nor_moved() -> None:
    before = torch.get_rng_state()
    first = solve(METHODS["dip"], problem(), net=NET, engine=MUON).image
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert torch.equal(first, solve(METHODS["dip"], problem(), net=NET, engine=MUON).image)


@dataclass(frozen=True)
class BestAtSix(HeldOut):
    """Finds step 6 best and ends at step 9, then fits everything again."""

    again: bool = True

    def improved(self, m: Memory) -> Tensor:
        return m["step"] == 6

    def done(self, m: Memory) -> Tensor:
        return m["step"] >= 9


@pytest.mark.parametrize(("name", "pause"), [("dip", 1), ("aseqdip", 5), ("house", 12)])
def test_a_paused_run_resumes_to_the_same_bits(
    name: str, pause: int, tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    """5 is inside a round of aSeqDIP; 12 is in the refit phase."""
    stop = BestAtSix(skip=0)
    parts = {"net": NET, "engine": MUON, "stop": stop, "output": Average(0.8)}
    method = replace(METHODS[name])
    whole = solve(method, problem(), **parts)
    part = solve(method, problem(), watch=[pause_after(pause)], run_dir=tmp_path, **parts)
    assert not part.finished
    assert part.stop[0].rule == "interrupted"
    rest = solve(method, problem(), run_dir=tmp_path, **parts)
    assert torch.equal(whole.image, rest.image)
    assert str(whole.history) == str(rest.history)
    assert rest.resumed_from[0] > 0


def test_two_resumes_from_one_state_do_not_disturb_each_other(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    parts = {"net": NET, "engine": MUON, "output": Average(0.8)}
    whole = solve(METHODS["dip"], problem(), **parts)
    solve(METHODS["dip"], problem(), watch=[pause_after(5)], run_dir=tmp_path, **parts)
    state = (tmp_path / "state.pt").read_bytes()
    for _ in range(2):
        (tmp_path / "state.pt").write_bytes(state)
        assert torch.equal(
            solve(METHODS["dip"], problem(), run_dir=tmp_path, **parts).image, whole.image
        )


def test_resume_with_other_settings_is_refused(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    solve(METHODS["dip"], problem(), net=NET, watch=[pause_after(3)], run_dir=tmp_path)
    with pytest.raises(ut.UserError, match="recipe.method.jitter was"):
        solve(ut.methods.DIP(rounds=12, jitter=0.5), problem(), net=NET, run_dir=tmp_path)


def test_a_batch_of_three_equals_three_singles() -> None:
    parts = {
        "net": NET,
        "engine": MUON,
        "stop": HeldOut(patience=4, skip=2),
        "output": Average(0.8),
    }
    batch = solve(METHODS["aseqdip"], problem(0, 1, 2), **parts)
    for i in range(3):
        single = solve(METHODS["aseqdip"], problem(i), **parts)
        assert torch.equal(batch.image[i : i + 1], single.image)
        assert batch.stop[i] == single.stop[0]


def test_results_without_all_their_spreads_have_none_together() -> None:
    """An interrupted last slice has no spread yet."""
    one = solve(METHODS["dip"], problem(), net=NET, steps=2)
    spread = replace(one, std=torch.ones_like(one.image))
    assert stack_fits([spread, one]).std is None
    together = stack_fits([spread, spread]).std
    assert together is not None
    assert len(together) == 2


def test_weights_do_not_leak_from_one_image_to_the_next() -> None:
    alone = solve(METHODS["dip"], problem(1), net=NET, engine=MUON).image
    solve(METHODS["dip"], problem(0), net=NET, engine=MUON)
    assert torch.equal(alone, solve(METHODS["dip"], problem(1), net=NET, engine=MUON).image)


def test_a_grouped_network_takes_the_same_first_step_as_singles() -> None:
    """What a GPU would do at once: every problem through its own weights in one call."""
    group, method = problem(0, 1, 2), METHODS["tvdip"]
    s = State(group, NET.build(32, 1), seed=0)
    singles = [State(group.select(i), NET.build(32, 1), seed=0) for i in range(3)]
    for i, single in enumerate(singles):
        for key, weight in single.weights.items():
            weight.copy_(s.weights[key][i : i + 1])
    for state in (s, *singles):
        method.start(state)
        x, terms = method.loss(state)
        sum(terms.values()).sum().backward()
        state.x = x
    for i, single in enumerate(singles):
        torch.testing.assert_close(s.x[i : i + 1], single.x, atol=1e-5, rtol=1e-5)
        for key, weight in single.weights.items():
            torch.testing.assert_close(
                s.weights[key].grad[i : i + 1], weight.grad, atol=1e-5, rtol=1e-3
            )


@dataclass(frozen=True)
class Spy(Method):
    """Records what a method can see; fails at a given step."""

    name: ClassVar[str] = "spy"
    rounds: int = 6
    inner: int = 1
    break_at: int = 99
    seen: tuple = ()

    def input_channels(self, image_channels: int) -> int:
        return 2

    def start(self, s: State) -> None:
        s["z"] = s.noise("z", (2, *s.problem.x_shape[1:]))
        s.train_net()
        self.seen[0]["problem"] = s.problem

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        x = s.net(s["z"])
        factor = float("nan") if s.step + 1 >= self.break_at else 1.0
        return x, {"data": factor * s.problem.misfit(x)}


def test_a_method_never_sees_what_is_held_out() -> None:
    seen: dict = {}
    whole = problem()
    solve(Spy(seen=(seen,)), whole, net=NET, stop=HeldOut(fraction=0.2, patience=50, skip=0))
    fit = seen["problem"]
    hidden = fit.keep == 0
    assert 0.1 < hidden.float().mean() < 0.3
    assert bool((fit.y[hidden.expand_as(fit.y)] == 0).all())
    other = problem()
    other.y = torch.where(hidden.expand_as(other.y), 1 - other.y, other.y)
    again: dict = {}
    solve(Spy(seen=(again,)), other, net=NET, stop=HeldOut(fraction=0.2, patience=50, skip=0))
    assert torch.equal(again["problem"].keep, fit.keep)
    assert torch.equal(again["problem"].y, fit.y)
    assert torch.equal(again["problem"].estimate(), fit.estimate())


def test_a_diverged_run_keeps_its_best_image() -> None:
    result = solve(Spy(seen=({},), break_at=4), problem(), net=NET)
    assert result.stop[0].rule == "diverged"
    assert "'data' became infinite or NaN at step 4" in result.stop[0].reason
    assert bool(torch.isfinite(result.image).all())


@dataclass(frozen=True)
class SpyOnAll(Spy):
    """Fails only where nothing is held out."""

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        x, terms = super().loss(s)
        return x, terms if s.problem.keep is not None else {"data": terms["data"] * float("nan")}


def test_a_refit_that_diverges_gives_the_first_fit_and_says_so() -> None:
    stop = HeldOut(fraction=0.2, patience=50, skip=0, again=True)
    result = solve(SpyOnAll(seen=({},)), problem(), net=NET, stop=stop)
    assert "the fit of all measurements failed" in result.stop[0].reason
    assert bool(torch.isfinite(result.image).all())
    alone = replace(stop, again=False)
    for output in (Average(0.5), Average(0.5, mu=0.1), Average(0.5, ask=True)):  # closed as well
        failed, first = (
            solve(SpyOnAll(seen=({},)), problem(), net=NET, stop=one, output=output)
            for one in (stop, alone)
        )
        torch.testing.assert_close(failed.image, first.image)


def test_a_run_that_never_had_an_image_fails_with_the_reason() -> None:
    with pytest.raises(ut.Diverged, match="engine.lr"):
        solve(Spy(seen=({},), break_at=1), problem(), net=NET)


@dataclass(frozen=True)
class Detached(Method):
    """Whose data term no gradient reaches, and another does."""

    name: ClassVar[str] = "detached"
    rounds: int = 3
    inner: int = 1
    share: float = 1.0

    def start(self, s: State) -> None:
        s["z"] = s.problem.estimate()
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        x = s.net(s["z"])
        data = self.share * s.problem.misfit(x.detach())
        return x, {"size": x.square().flatten(1).mean(1), "data": data}


def test_a_term_without_gradient_is_refused() -> None:
    with pytest.raises(ut.UserError, match="'data' of the objective has no gradient"):
        solve(Detached(), problem(), net=NET, engine=MUON)
    assert solve(Detached(share=0.0), problem(), net=NET, engine=MUON).finished  # switched off


def test_only_what_was_asked_for_is_trained() -> None:
    """The weights are frozen until the method opts in."""
    s = State(problem(), NET.build(32, 1), seed=0)
    assert not any(w.requires_grad for w in s.weights.values())
    with pytest.raises(ValueError, match="trains nothing"):
        MUON.optimizer(s)


def test_an_unknown_state_name_lists_the_known_ones() -> None:
    s = State(problem(), NET.build(32, 1), seed=0)
    s["z"] = torch.zeros(1, 2)
    with pytest.raises(KeyError, match="it has: z"):
        s["zed"]
    with pytest.raises(ValueError, match="cannot become"):
        s["z"] = torch.zeros(1, 3)


def test_noise_depends_on_seed_name_and_step_only() -> None:
    s = State(problem(), NET.build(32, 1), seed=3)
    first = s.noise("a", (2, 5))
    assert torch.equal(first, s.noise("a", (2, 5)))
    assert not torch.equal(first, s.noise("b", (2, 5)))
    s.step = 1
    assert not torch.equal(first, s.noise("a", (2, 5)))


def test_the_refit_takes_the_chosen_number_of_steps_on_everything() -> None:
    parts = {"net": NET, "engine": MUON, "output": Average(0.5)}
    result = solve(METHODS["dip"], problem(), stop=BestAtSix(skip=0), **parts)
    assert result.stop[0].step == 6
    assert result.history["phase"] == ["fit"] * 9 + ["refit"] * 6
    bare = solve(METHODS["dip"], problem(), steps=6, **parts)
    assert torch.equal(result.image, bare.image)


def test_a_fit_that_was_best_at_its_end_goes_on_with_everything() -> None:
    parts = {"net": NET, "engine": MUON, "output": Average(0.5), "steps": 10}
    stop = HeldOut(patience=99, skip=0, slack=9.0, again=True, more=0.4)
    result = solve(METHODS["dip"], problem(), stop=stop, **parts)
    assert result.history["phase"] == ["fit"] * 10 + ["refit"] * 4
    assert result.stop[0].step == 10
    data = [float(v) for v in result.history["data"]]
    assert max(data[10:]) < data[2]  # it did not begin anew
    early = solve(METHODS["dip"], problem(), stop=BestAtSix(skip=0, more=0.4), **parts)
    assert early.history["phase"] == ["fit"] * 9 + ["refit"] * 6


class Sixth(Watch):
    """Keeps the output of step 6."""

    def step(self, frame: Frame, columns: dict[str, float]) -> None:
        if frame.step == 6:
            self.image = frame.out.clone()


@pytest.mark.parametrize("name", ["dip", "aseqdip"])
def test_the_refit_gives_the_image_that_a_whole_run_has_at_that_step(name: str) -> None:
    """A falling rate is laid out over the budget, not over the chosen steps."""
    falling = ut.Engine("muon", lr=0.02, warmup=3, schedule="cosine", precision="fp32")
    parts = {"net": NET, "engine": falling, "output": Average(0.5)}
    refitted = solve(METHODS[name], problem(), stop=BestAtSix(skip=0), **parts)
    sixth = Sixth()
    solve(METHODS[name], problem(), watch=[sixth], **parts)
    assert torch.equal(refitted.image, problem().to_units(sixth.image))


def test_the_refit_also_follows_a_run_that_used_its_whole_budget() -> None:
    """What was held out is fitted in the end, whatever ended the first phase."""
    stop = HeldOut(patience=99, skip=0, again=True)
    parts = {"net": NET, "engine": MUON, "output": Average(0.5)}
    result = solve(METHODS["dip"], problem(), stop=stop, **parts)
    assert result.history["phase"].count("refit") == result.stop[0].step


def test_rollback_undoes_a_fall() -> None:
    s = State(problem(), NET.build(32, 1), seed=0)
    guard, m = Rollback(drop=5.0), s.memory("guard")
    guard.start(s, m)
    name = next(iter(s.weights))
    good = s.weights[name].clone()

    def see(data: float) -> None:
        guard.see(s, m, {"data": torch.tensor([data])})
        s.step += 1

    see(0.01)
    s.weights[name].add_(1.0)
    see(1.0)
    assert torch.equal(s.weights[name], good)
    s.weights[name].add_(1.0)
    see(0.02)
    assert torch.equal(s.weights[name], good + 1)


class BadStep(ut.methods.DIP):
    """At its fifth step the gradient, and only that, is ten thousand times too large."""

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        x, terms = super().loss(s)
        data = terms["data"]
        factor = 1e4 if s.step == 4 else 0.0
        return x, {**terms, "jolt": factor * (data - data.detach())}


def test_rollback_returns_to_before_the_step_that_failed() -> None:
    def data(guard: Guard | None) -> list[float]:
        engine = ut.Engine("sgd", lr=0.05, precision="fp32")
        found = solve(BadStep(rounds=12), problem(), net=NET, engine=engine, guard=guard)
        return found.history["data"]

    bare, guarded = data(None), data(Rollback(drop=3.0))
    assert bare[:6] == guarded[:6]
    assert bare[5] > 2 * bare[4]
    assert guarded[6] < 1.5 * guarded[4]
    assert guarded[11] < guarded[4]


def test_the_interfaces_are_abstract() -> None:
    for kind in (Method, Stop, Output, Guard):
        with pytest.raises(TypeError):
            kind()
    assert Never() == Never()
