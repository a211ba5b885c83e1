"""The one loop.

`solve` calls `method.loss` and takes one optimiser step N times, then `method.advance`, K times.
It alone owns randomness, precision, the guard against NaN, checkpoint and resume. Measurements
are split before anything else when the stop rule holds some out.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from untrained.core.checkpoint import Checkpoint
from untrained.core.engine import Engine
from untrained.core.footprint import ADVICE, is_out_of_memory, make_lean, needs_lean
from untrained.core.history import History
from untrained.core.machine import pick_device
from untrained.core.method import Method
from untrained.core.recipe import NetSpec, Recipe
from untrained.core.result import Result
from untrained.core.rule import Frame, Guard, Last, MaxSteps, Never, Output, Stop, Stopped, Watch
from untrained.core.state import State
from untrained.errors import Diverged, UserError
from untrained.nets import Compact, initialise
from untrained.problem import Problem


def solve(
    method: Method,
    problem: Problem,
    *,
    net: NetSpec | None = None,
    engine: Engine | None = None,
    stop: Stop | None = None,
    output: Output | None = None,
    guard: Guard | None = None,
    steps: int = 0,
    watch: Sequence[Watch] = (),
    seed: int = 0,
    device: str | torch.device = "auto",
    run_dir: str | Path | None = None,
) -> Result:
    """Fit an untrained network to a problem.

    Args:
        method: the equations.
        problem: measurements and physics; a group `(G, ...)` is solved in turn, each problem
            with the same seed, so that a group equals its singles.
        net: the network's description.
        engine, stop, output, guard: see their classes.
        steps: budget in optimiser steps; 0 = the method's own.
        watch: watchers (progress, reference, interruption).
        seed: names all randomness.
        device: `auto`, `cpu`, `cuda`, `mps`.
        run_dir: keep a checkpoint there, and take up the one found there.

    Returns:
        The result; `result.image` is `(G, C, ...)` in the units of the measurements.

    Raises:
        UserError: a checkpoint of other settings, a rule that lacks what it needs.
        Diverged: the objective became NaN before any image could be kept.
    """
    recipe = Recipe(
        method=method,
        net=net or Compact(),
        engine=engine or Engine(),
        stop=stop or Never(),
        output=output or Last(keep_best=True),
        guard=guard,
        weighting=problem.weighting,
        steps=steps,
    )
    return solve_recipe(recipe, problem, watch=watch, seed=seed, device=device, run_dir=run_dir)


def solve_recipe(
    recipe: Recipe,
    problem: Problem,
    *,
    watch: Sequence[Watch] = (),
    seed: int = 0,
    device: str | torch.device = "auto",
    run_dir: str | Path | None = None,
    settings: dict[str, Any] | None = None,
) -> Result:
    """`solve` for a ready recipe. `settings` is what else must agree for a resume (data hash)."""
    place = pick_device(device)
    problem = problem.weighted(recipe.weighting).to(place)
    precision = recipe.engine.resolve(place)
    kept = Checkpoint(
        run_dir,
        {
            "recipe": {k: v for k, v in recipe.to_dict().items() if k != "source"},
            "seed": seed,
            "device": place.type,
            "precision": precision,
            **(settings or {}),
        },
    )
    with _threads(kept):
        solved: list[_Outcome] = []
        for i in range(len(problem.y)):
            alone = problem.select(i)
            if solved and not solved[-1].finished:
                solved.append(_not_begun(alone, solved[-1]))
                continue
            half = precision == "bf16"
            solved.append(_one(recipe, alone, f"{i}/", kept, tuple(watch), seed, half))
    return Result(
        image=torch.cat([one.image for one in solved]),
        history=solved[0].history,
        origins=solved[0].origins,
        stop=[one.stop for one in solved],
        recipe=recipe,
        seed=seed,
        steps=solved[0].steps,
        seconds=sum(one.seconds for one in solved),
        cpu_seconds=sum(one.cpu_seconds for one in solved),
        device=str(place),
        precision=precision,
        threads=kept.threads,
        resumed_from=kept.resumed_from,
        finished=all(one.finished for one in solved),
        weights={n: torch.cat([one.weights[n] for one in solved]) for n in solved[0].weights},
        z=None if solved[0].z is None else torch.cat([o.z for o in solved if o.z is not None]),
    )


@dataclass
class _Outcome:
    """What a finished (or interrupted) phase leaves behind: tensors and plain values."""

    image: Tensor
    history: dict[str, list[float | str]]
    origins: dict[str, str]
    stop: Stopped
    steps: int
    seconds: float
    cpu_seconds: float
    finished: bool
    weights: dict[str, Tensor]
    z: Tensor | None

    def plain(self) -> dict[str, Any]:
        return {**vars(self), "stop": vars(self.stop)}

    def to(self, device: torch.device) -> _Outcome:
        """The tensors on another device: a checkpoint is read to the CPU."""
        return replace(
            self,
            image=self.image.to(device),
            weights={name: weight.to(device) for name, weight in self.weights.items()},
            z=None if self.z is None else self.z.to(device),
        )


def _one(
    recipe: Recipe,
    problem: Problem,
    prefix: str,
    kept: Checkpoint,
    watch: tuple[Watch, ...],
    seed: int,
    half: bool,
) -> _Outcome:
    """One problem: split, fit, and where the stop rule asks for it fit everything again."""
    fit, held = problem, None
    if recipe.stop.holdout:
        fit, held = problem.split(recipe.stop.holdout, seed)
    first = _phase(recipe, fit, held, f"{prefix}fit", kept, watch, seed, half)
    if not (recipe.stop.refit and first.finished):
        return first
    row = {k: float(v[first.stop.step - 1]) for k, v in first.history.items() if k != "phase"}
    again, weights = _again(recipe, first)
    again = replace(again, output=recipe.output.settled(row))
    whole = problem.after(fit)
    try:
        last = _phase(again, whole, None, f"{prefix}refit", kept, watch, seed, half, weights)
    except Diverged as error:
        return _not_refitted(first, str(error))
    if last.stop.rule == "diverged":
        return _not_refitted(first, last.stop.reason)
    stopped = Stopped(
        first.stop.rule,
        first.stop.step,
        f"{first.stop.reason}; then all measurements were fitted for {last.steps}"
        f"{'' if weights is None else ' more'} steps",
    )
    return replace(
        last,
        stop=stopped if last.finished else last.stop,
        history=_joined(first.history, last.history),
        origins={**last.origins, **first.origins},
        steps=first.steps + last.steps,
        seconds=first.seconds + last.seconds,
        cpu_seconds=first.cpu_seconds + last.cpu_seconds,
    )


def _again(recipe: Recipe, first: _Outcome) -> tuple[Recipe, dict[str, Tensor] | None]:
    """The fit of all measurements, and the weights it starts from (None: drawn as before)."""
    step = first.stop.step
    if not recipe.stop.carry or step < first.steps:
        return replace(recipe, stop=MaxSteps(step)), None  # the same steps, rates included
    engine = recipe.engine.gentler(GENTLE)
    steps = max(1, round(recipe.stop.carry * step))
    return replace(recipe, stop=Never(), steps=steps, engine=engine), first.weights


def _not_refitted(first: _Outcome, why: str) -> _Outcome:
    reason = f"{first.stop.reason}; the fit of all measurements failed: {why}"
    return replace(first, stop=replace(first.stop, reason=reason))


def _not_begun(problem: Problem, previous: _Outcome) -> _Outcome:
    """A problem of a group that was interrupted before its turn: its adjoint image."""
    return replace(
        previous,
        image=problem.to_units(problem.estimate()),
        stop=replace(previous.stop, step=0, reason=f"not begun: {previous.stop.reason}"),
        seconds=0.0,
        cpu_seconds=0.0,
    )


def _phase(
    recipe: Recipe,
    problem: Problem,
    held: Problem | None,
    name: str,
    kept: Checkpoint,
    watch: tuple[Watch, ...],
    seed: int,
    half: bool,
    weights: dict[str, Tensor] | None = None,
) -> _Outcome:
    """The loop, from the start or from where a checkpoint left it."""
    if name in kept.finished:
        done = dict(kept.finished[name])
        _recall(watch, done.pop("watch", {}))
        return _Outcome(**{**done, "stop": Stopped(**done["stop"])}).to(problem.y.device)
    loop = Loop(recipe, problem, held, seed, half)
    if weights is not None:
        loop.s.take_weights(weights)
    if loop.lean:
        _say(watch, LEAN)
    saved = kept.resume(name)
    if saved is not None:
        loop.load_state_dict(saved)
    for w in watch:
        w.begin(name, loop.total, loop.s.step)
    _recall(watch, (saved or {}).get("watch", {}))
    while not loop.over():
        try:
            loop.step(watch)
        except (MemoryError, RuntimeError) as error:
            _say(watch, loop.leaner(error))
            continue
        loop.pause = next(filter(None, (w.interrupted() for w in watch)), None)
        if loop.pause or kept.due():
            kept.save(name, loop.s.step, {**loop.state_dict(), "watch": _remembered(watch)})
    for w in watch:
        w.end(name)
    label = name.rpartition("/")[2]
    outcome = loop.outcome(problem, label, replaced=label == "fit" and recipe.stop.refit)
    if outcome.finished:
        kept.finish(name, {**outcome.plain(), "watch": _remembered(watch)})
    return outcome


def _say(watch: tuple[Watch, ...], text: str) -> None:
    for w in watch:
        w.say(text)


def _remembered(watch: tuple[Watch, ...]) -> dict[str, dict[str, Any]]:
    """The watchers' memories by the names of their classes."""
    return {type(w).__name__: w.state_dict() for w in watch if w.state_dict()}


def _recall(watch: tuple[Watch, ...], saved: dict[str, dict[str, Any]]) -> None:
    for w in watch:
        if type(w).__name__ in saved:
            w.load_state_dict(saved[type(w).__name__])


GENTLE = 0.3
"""Learning rate of a fit that goes on from another one's weights, relative to a first fit's."""

LEAN = (
    "memory is short: the network's inner images are computed twice from here on instead of being "
    "kept, which takes a third longer and changes no number"
)


class Loop:
    """The state of one phase, and its single step."""

    def __init__(
        self, recipe: Recipe, problem: Problem, held: Problem | None, seed: int, half: bool
    ) -> None:
        began, cpu = time.perf_counter(), time.process_time()
        self.recipe, self.held = recipe, held
        self.total = min(recipe.budget, recipe.stop.limit or recipe.budget)
        with torch.random.fork_rng(devices=[]):  # building draws weights that are drawn again
            module = recipe.build(problem)
        initialise(module, seed)
        self.lean = needs_lean(recipe, problem) and make_lean(module)
        self.s = State(problem, module, seed, half=half)
        recipe.method.start(self.s)
        self.optimizer = recipe.engine.optimizer(self.s)
        recipe.output.start(self.s, self.s.memory("output"))
        recipe.stop.start(self.s, self.s.memory("stop"))
        if recipe.guard is not None:
            recipe.guard.start(self.s, self.s.memory("guard"))
        self.history = History(self.total)
        self.ended: tuple[str, str] | None = None
        self.pause: Stopped | None = None
        self.updating = False
        self.seconds, self.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu

    def over(self) -> bool:
        """Whether the budget is used up, or something ended the run."""
        return bool(self.ended or self.pause) or self.s.step >= self.total

    def step(self, watch: tuple[Watch, ...]) -> None:
        """Loss, one optimiser step, the rules; after every N steps, `advance`."""
        began, cpu = time.perf_counter(), time.process_time()
        s, method = self.s, self.recipe.method
        self._set_rates()
        self.optimizer.zero_grad(set_to_none=True)
        x, terms = method.loss(s)
        objective = torch.stack(list(terms.values())).sum(0)
        if not bool(torch.isfinite(objective).all()):
            return self._diverged(terms)
        objective.sum().backward()
        self.recipe.engine.clip_gradients(s)
        detached = {name: value.detach() for name, value in terms.items()}
        if self.recipe.guard is not None:
            self.recipe.guard.see(s, s.memory("guard"), detached)
        self.updating = True
        self.optimizer.step()
        with torch.no_grad():
            self._rules(x.detach(), detached, watch)
            s.step += 1
            if s.step % method.inner == 0:
                method.advance(s)
        self.updating = False
        self.seconds += time.perf_counter() - began
        self.cpu_seconds += time.process_time() - cpu
        return None

    def leaner(self, error: Exception) -> str:
        """Make ready to take the step again with less memory; what to tell those who wait.

        Nothing of a step is kept before its gradients are there, so that it can be repeated until
        then, and the bits are the same.

        Raises:
            UserError: it was lean already.
            Exception: `error`, if it was none of memory.
        """
        if not is_out_of_memory(error):
            raise error
        if self.lean or self.updating or not make_lean(self.s.module):
            raise UserError(f"there is not enough memory for a step; {ADVICE}") from error
        self.lean = True
        self.optimizer.zero_grad(set_to_none=True)
        if self.s.problem.y.device.type == "cuda":
            torch.cuda.empty_cache()
        return LEAN

    def _rules(self, x: Tensor, terms: dict[str, Tensor], watch: tuple[Watch, ...]) -> None:
        s, recipe = self.s, self.recipe
        out = recipe.output.see(s, s.memory("output"), x, self.held)
        frame = Frame(s.step + 1, x, out, terms, self.held)
        memory = s.memory("stop")
        recipe.stop.see(s, memory, frame)
        self._keep(out, recipe.stop.improved(memory), frame.step)
        seen = {k: v for w in watch for k, v in w.columns(s, frame).items()}
        groups = {
            "objective": terms,
            "stop": recipe.stop.statistic(memory),
            "output": recipe.output.statistic(s.memory("output")),
            "watch": seen,
        }
        row = self.history.add(frame.step, groups)
        for w in watch:
            w.step(frame, row)
        if bool(recipe.stop.done(memory).all()):
            self.ended = (recipe.stop.name, recipe.stop.reason(memory))

    def _keep(self, out: Tensor, improved: Tensor | None, step: int) -> None:
        """Remember the output at the best step, where the stop rule knows one."""
        m = self.s.memory("kept")
        steps = torch.full((self.s.size,), step, device=out.device)
        if improved is None or not self.recipe.output.keep_best:
            m["image"] = out
            m["step"] = steps
            return
        flag = improved.reshape(-1, *[1] * (out.ndim - 1))
        m["image"] = torch.where(flag, out, m["image"]) if "image" in m else out
        m["step"] = torch.where(improved, steps, m["step"]) if "step" in m else steps

    def _set_rates(self) -> None:
        factor = self.recipe.engine.factor(self.s.step, self.recipe.budget)
        self.s.rate = self.recipe.engine.lr * factor
        for group in self.optimizer.param_groups:
            group["lr"] = group.setdefault("base_lr", group["lr"]) * factor

    def _diverged(self, terms: dict[str, Tensor]) -> None:
        bad = [name for name, value in terms.items() if not bool(torch.isfinite(value).all())]
        reason = (
            f"the term '{bad[0] if bad else 'sum'}' became infinite or NaN at step "
            f"{self.s.step + 1}; a smaller engine.lr or engine.precision=fp32 may help"
        )
        if "image" not in self.s.memory("kept"):
            raise Diverged(reason)
        self.ended = ("diverged", reason)

    def outcome(self, problem: Problem, label: str, replaced: bool) -> _Outcome:
        """What the phase leaves behind; no closing step for an image that a refit replaces."""
        m = self.s.memory("kept")
        chosen = int(m["step"][0])
        best = "" if chosen == self.s.step else f"; step {chosen} was best by the stop rule"
        rule, reason = self.ended or (
            "budget",
            f"all {self.total} steps of the budget were taken{best}",
        )
        unfinished = self.pause is not None and not self.ended and self.s.step < self.total
        if self.pause is not None and unfinished:
            rule, reason = self.pause.rule, self.pause.reason
        image = m["image"]
        if unfinished or not replaced:
            image = self.recipe.output.finish(problem, image)
        z = self.s.tensors.get("z")
        history = self.history.columns()
        return _Outcome(
            image=problem.to_units(image).clone(),
            history={"phase": [label] * len(history["step"]), **history},
            origins=self.history.origins,
            stop=Stopped(rule, chosen, reason),
            steps=self.s.step,
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
            finished=not unfinished,
            weights={k: w.detach().clone() for k, w in self.s.weights.items()},
            z=None if z is None else z.detach().clone(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes; what a checkpoint holds."""
        return {
            "state": self.s.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history.state_dict(),
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take up a checkpoint; values are copied."""
        self.s.load_state_dict(saved["state"])
        self.optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))
        self.history.load_state_dict(saved["history"])
        self.seconds += saved["seconds"]
        self.cpu_seconds += saved["cpu_seconds"]


def _joined(
    first: dict[str, list[float | str]], second: dict[str, list[float | str]]
) -> dict[str, list[float | str]]:
    """Two histories one after the other; a column that one lacks is NaN there."""
    counts = len(first["step"]), len(second["step"])
    nan = float("nan")
    return {
        name: first.get(name, [nan] * counts[0]) + second.get(name, [nan] * counts[1])
        for name in {**first, **second}
    }


@contextlib.contextmanager
def _threads(kept: Checkpoint) -> Iterator[None]:
    """Run on the thread count of the first sitting: the bits depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(kept.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
