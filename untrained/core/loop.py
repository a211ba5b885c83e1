"""The state of one phase of a run, and its single step."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from untrained.core.footprint import ADVICE, is_out_of_memory, make_lean, needs_lean
from untrained.core.history import History
from untrained.core.recipe import Recipe
from untrained.core.rule import Frame, Stopped, Watch
from untrained.core.state import State
from untrained.errors import Diverged, UserError
from untrained.group import Group
from untrained.nets import initialise
from untrained.problem import Problem

LEAN = (
    "memory is short: the network's inner images are computed twice from here on instead of being "
    "kept, which takes a third longer and changes no number"
)


@dataclass
class Outcome:
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
    rival: bool = False

    def plain(self) -> dict[str, Any]:
        return {**vars(self), "stop": vars(self.stop)}

    def to(self, device: torch.device) -> Outcome:
        """The tensors on another device: a checkpoint is read to the CPU."""
        return replace(
            self,
            image=self.image.to(device),
            weights={name: weight.to(device) for name, weight in self.weights.items()},
            z=None if self.z is None else self.z.to(device),
        )


class Loop:
    """The state of one phase, and its single step."""

    def __init__(
        self, recipe: Recipe, problem: Problem | Group, held: Problem | None, seed: int, half: bool
    ) -> None:
        began, cpu = time.perf_counter(), time.process_time()
        self.recipe, self.held = recipe, held
        self.total = min(recipe.budget, recipe.stop.limit or recipe.budget)
        with torch.random.fork_rng(devices=[]):  # building draws weights that are drawn again
            module = recipe.build(problem.select(0))
        initialise(module, seed)
        self.lean = needs_lean(recipe, problem) and make_lean(module)
        self.s = State(problem, module, seed, half=half)
        self.s.take_given(problem.pretrained)
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
        if self.s.device.type == "cuda":
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

    def outcome(self, label: str, replaced: bool) -> Outcome:
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
            image = self.recipe.output.finish(self.s.problem, image)
        z = self.s.tensors.get("z")
        history = self.history.columns()
        return Outcome(
            image=self.s.problem.to_units(image).clone(),
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
