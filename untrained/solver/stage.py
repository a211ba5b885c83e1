"""What changes during one stage of a fit, and is stored in the checkpoint (`Stage.state_dict`)."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from untrained.core.role import choice
from untrained.core.rule import Output, Stop, Stopped
from untrained.core.rule_memory import Memory
from untrained.core.start import StartWeights
from untrained.core.state import THETA, State
from untrained.errors import Diverged, UserError
from untrained.nets import DrawnFrom, initialise
from untrained.problem import Problem
from untrained.problem.stacking import stack_problems
from untrained.solver.fit import Columns, Fit
from untrained.solver.history import History
from untrained.solver.memory import ADVICE, LEAN, is_out_of_memory, make_lean, needs_lean
from untrained.solver.stage_input import FIRST, StageInput
from untrained.solver.track import FACTOR, PATIENCE

OFF_TRACK, DIVERGED = "off track", "diverged"
"""Names, as of a stop rule, for the end of a fit whose data term grew and stayed large, or
became NaN."""


class Stopwatch:
    """Measure wall-clock and processor time from its creation on."""

    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return the wall-clock seconds and the processor's seconds since its creation."""
        return time.perf_counter() - self._began, time.process_time() - self._cpu


class Stage:
    """Hold what changes during a stage, and take it apart when problems end.

    The problems of a `Problem` end one by one: each when its own stop rule says so, as it would
    alone, and the others go on in a smaller state. Those of a `Group` share weights and end
    together.

    Args:
        given: what is fitted.
        half: run the network under bfloat16 autocast.
        start: weights learned elsewhere, that the network starts from; None without any.

    Attributes:
        s: the state; problem g of its axis G is the caller's problem `s.rows[g]`.
        recipe: the recipe of all, but for the numbers that the rules keep in their memories.
        held: the measurements held out of the problems that are under way.
        total: the most steps that it may take.
        lean: whether inner images are computed twice to save memory.
        pause: why it should stop here and be resumed later; None to go on.
        updating: whether the weights are being changed, so that the step cannot be repeated.
    """

    def __init__(self, given: StageInput, half: bool, start: StartWeights | None = None) -> None:
        stopwatch = Stopwatch()
        self.given, self.held, self.tracks = given, given.held, given.tracks
        problem, recipe = given.problem, given.recipes[0]
        self.recipe = recipe
        self.total = max(min(r.budget, r.stop.limit or r.budget) for r in given.recipes)
        with DrawnFrom(given.seeds[0]):  # weights are drawn below, not what else a network draws
            module = recipe.build(problem.select(0))
        initialise(module, given.seeds[0])
        # Before the state takes copies of the weights: a full memory is noticed here.
        prior = None if start is None else start.prior
        self.lean = needs_lean(recipe, problem, prior) and make_lean(module)
        seeds = given.seeds if len(given.seeds) > 1 else given.seeds[0]
        # Learned weights before the method's `start`, which may look at the network's image of
        # them; the optimiser after it, since `start` says what is trained.
        self.s = State(problem, module, seeds, half=half, rows=given.rows, start=start)
        self.rows = self.s.rows
        self.outputs = {row: own.output for row, own in zip(self.rows, given.recipes, strict=True)}
        recipe.method.start(self.s)
        self.s.train_unknowns(recipe.method.fits)
        self.optimizer = recipe.engine.optimizer(self.s)
        # Output, stop and guard rules after the method: they find its variables in the state.
        _start_each([r.output for r in given.recipes], self.s, "output")
        _start_each([r.stop for r in given.recipes], self.s, "stop")
        if recipe.guard is not None:
            recipe.guard.start(self.s, self.s.memory("guard"))
        self.history = History(self.total)
        self._ended: dict[int, Fit] = {}
        self.pause: Stopped | None = None
        self.updating = False
        self._seconds = dict.fromkeys(self.rows, 0.0)
        self._cpu_seconds = dict.fromkeys(self.rows, 0.0)
        self.book(stopwatch)
        # Last, and in place: they replace what the method's `start` set, in the tensors that the
        # optimiser has.
        if given.weights is not None:
            self.s.take_weights(given.weights)
        with torch.no_grad():
            for name, value in (given.variables or {}).items():
                self.s[name] = value

    # who is under way -------------------------------------------------------------------------
    @property
    def separate(self) -> bool:
        """Return whether each problem ends by itself."""
        return isinstance(self.given.problem, Problem)

    def is_over(self) -> bool:
        """Return whether the budget is used up, all have ended, or the run pauses."""
        return bool(self.pause) or not self._active() or self.s.step >= self.total

    def _active(self) -> list[int]:
        """List the places on the axis G of the problems that have not ended."""
        if self._ended and not self.separate:
            return []
        return [g for g, row in enumerate(self.s.rows) if row not in self._ended]

    def _problem_of(self, row: int) -> Problem:
        """Return the caller's problem `row`, alone."""
        return self.given.problem.select(self.rows.index(row))

    # the parts of a step ----------------------------------------------------------------------
    def set_rates(self) -> None:
        """Set the learning rates of this step by the engine's schedule."""
        # By the budget, not `total`: a rule that ends earlier leaves the schedule as it is.
        factor = self.recipe.engine.factor(self.s.step, self.recipe.budget)
        self.s.rate = self.recipe.engine.lr * factor
        for group in self.optimizer.param_groups:
            group["lr"] = group.setdefault("base_lr", group["lr"]) * factor

    def keep(self, out: Tensor, improved: Tensor | None, step: int) -> None:
        """Store the output at the best step, where the stop rule has found one, else the newest."""
        m = self.s.memory("kept")
        steps = torch.full((self.s.size,), step, device=out.device)
        # the operator that the image goes with, where it is not fully known
        kept = {"image": out, **{f"{THETA}{n}": v.detach() for n, v in self.s.theta.items()}}
        if improved is None or not self.recipe.output.keep_best:
            for name, value in kept.items():
                m[name] = value
            m["step"] = steps
            return
        for name, value in kept.items():
            flag = improved.reshape(-1, *[1] * (value.ndim - 1))
            m[name] = torch.where(flag, value, m[name]) if name in m else value
        m["step"] = torch.where(improved, steps, m["step"]) if "step" in m else steps

    def book(self, stopwatch: Stopwatch) -> None:
        """Add the time since the stopwatch's start to the problems under way, in equal parts."""
        wall, used = stopwatch.read()
        for row in self.s.rows:
            self._seconds[row] += wall / self.s.size
            self._cpu_seconds[row] += used / self.s.size

    def save_memory(self, error: Exception) -> str:
        """Prepare to repeat the step with less memory; return the message for the watchers.

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

    # how problems end -------------------------------------------------------------------------
    def end(self, flags: Tensor, why: Stopped | None = None) -> None:
        """Store the fits of the flagged problems, `(G,)`, and continue without them.

        Args:
            flags: which; of those that share weights, all.
            why: name and reason of what ended them; None = the stop rule.
        """
        if not self.separate:
            flags = torch.ones_like(flags)
        for g in flags.nonzero().flatten().tolist()[: None if self.separate else 1]:
            stop = self.recipe.stop
            ended = why or Stopped(stop.name, 0, stop.reason(self._memory_of("stop", g)))
            self._ended[self.s.rows[g]] = self._fit(g, ended)
        # After the fits were taken: `_select` drops the tensors of the problems that ended.
        active = self._active()
        if active:
            self._select(active)

    def end_diverged(self, terms: dict[str, Tensor], failed: Tensor) -> None:
        """End the problems whose objective became infinite or NaN, with the last image they had.

        Raises:
            Diverged: that was in the first step, before there was any.
        """
        bad = [name for name, value in terms.items() if not bool(torch.isfinite(value).all())]
        reason = (
            f"the term '{bad[0] if bad else 'sum'}' became infinite or NaN at step "
            f"{self.s.step + 1}; a smaller engine.lr or engine.precision=fp32 may help"
        )
        if "image" not in self.s.memory("kept"):
            raise Diverged(reason)
        self.end(failed, Stopped(DIVERGED, 0, reason))

    def end_off_track(self, flags: Tensor) -> None:
        """End the problems whose data term grew and stayed large."""
        since = self.s.step + 1 - PATIENCE
        reason = (
            f"from step {since} on the data term was more than {FACTOR:g} times what it had been; "
            "a smaller engine.lr may help"
        )
        self.end(flags, Stopped(OFF_TRACK, 0, reason))

    def _select(self, places: list[int]) -> None:
        """Continue with the problems at these places of the axis G."""
        # Read before the state is changed: the optimiser's moments, and the rows that are left.
        memory = self.optimizer.state_dict()
        problem = stack_problems([self._problem_of(self.s.rows[g]) for g in places])
        assert problem is not None  # some of those that were joined before
        if self.held is not None:
            self.held = stack_problems([self.held.select(g) for g in places])
        self.s.select(places, problem)
        self.history.select(places)
        # The state's tensors are new ones: a new optimiser, which takes over the old one's moments.
        self.optimizer = self.recipe.engine.optimizer(self.s)
        for kept in memory["state"].values():
            kept.update({k: v[places] for k, v in kept.items() if v.ndim})
        self.optimizer.load_state_dict(memory)

    # what it leaves ---------------------------------------------------------------------------
    def fits(self) -> list[Fit]:
        """Return the fits of the problems, in their order; one where they share weights."""
        ended = dict(self._ended)
        for g in self._active()[: None if self.separate else 1]:
            ended[self.s.rows[g]] = self._fit(g, None)
        return [self._closed(row, one) for row, one in sorted(ended.items())]

    def _memory_of(self, owner: str, g: int) -> Memory:
        """Return the memory of a rule for the problem at one place."""
        prefix = f"{owner}/"
        own = {k: v[g : g + 1] for k, v in self.s.tensors.items() if k.startswith(prefix)}
        return Memory(own, prefix)

    def _fit(self, g: int, ended: Stopped | None) -> Fit:
        """Return the fit of the problem at one place; its image still in network units.

        Args:
            g: the place; of problems that share weights the first, for all.
            ended: name and reason of what ended it; None = the budget, or a pause.
        """
        s = self.s
        part = slice(g, g + 1) if self.separate else slice(None)
        image, step = (s.memory("kept")[name][part].clone() for name in ("image", "step"))
        chosen = int(step[0])
        output = self.outputs[s.rows[g]]
        finished = self.pause is None or ended is not None or s.step >= self.total
        if ended is None and not finished:
            ended = self.pause
        if ended is None:
            best = choice(self.recipe.stop, chosen, s.step) if output.keep_best else ""
            reason = f"all {self.total} steps of the budget were taken{best}"
            ended = Stopped("budget", chosen, reason)
        z = s.tensors.get("z")
        guide = output.classical_image(self._memory_of("output", g))
        drawn = output.samples(self._memory_of("output", g))
        rows = [s.rows[g]] if self.separate else s.rows
        return Fit(
            image=image,
            history=self.history.columns(g),
            origins=self.history.origins,
            stop=(replace(ended, step=chosen),),
            steps=s.step,
            seconds=sum(self._seconds[row] for row in rows),
            cpu_seconds=sum(self._cpu_seconds[row] for row in rows),
            finished=finished,
            weights={name: w[part].detach().clone() for name, w in s.weights.items()},
            variables={
                name: s[name][part].detach().clone() for name in s.rates if name in s.tensors
            },
            theta={n: s.memory("kept")[f"{THETA}{n}"][part].clone() for n in s.theta},
            z=None if z is None else z[part].detach().clone(),
            guide=None if guide is None else guide.clone(),
            samples=None if drawn is None else drawn[0].clone(),
            spread=None if drawn is None else drawn[1].clone(),
        )

    def _closed(self, row: int, one: Fit) -> Fit:
        """Apply the output rule's choice and closing step to a fit; convert it to units of y."""
        stopwatch = Stopwatch()
        given = self.given
        own = self._problem_of(row).at(**one.theta) if self.separate else self.s.problem
        image, output = one.image, self.outputs[row]
        labels: Columns = {"phase": [given.label] * len(one.history["step"])}
        one = replace(one, history=labels | one.history)  # `phase` is the first column
        # On held-out measurements first: the closing step depends on what they say.
        if one.finished and given.label == FIRST and given.held is not None:
            held = given.held.select(self.rows.index(row)).at(**one.theta)
            chosen = output.choose_on_held_out(own, image, held)
            one = one.with_columns(chosen)
            output = output.with_choices_fixed(one.chosen_row()) if chosen else output
        if given.is_last or not one.finished:
            image = output.finish(own, image)
            theta, image = own.physics.settle(one.theta, image) if one.theta else ({}, image)
            one = replace(one, theta=theta)
        seconds, cpu_seconds = stopwatch.read()
        return replace(
            one,
            image=own.to_units(image).clone(),
            guide=None if one.guide is None else own.to_units(one.guide).clone(),
            samples=None if one.samples is None else own.to_units(one.samples),
            spread=None if one.spread is None else own.to_units(one.spread),
            seconds=one.seconds + seconds,
            cpu_seconds=one.cpu_seconds + cpu_seconds,
        )

    # checkpoint -------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, for the checkpoint."""
        return {
            "rows": list(self.s.rows),
            "ended": {row: one.to_plain() for row, one in self._ended.items()},
            "state": self.s.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history.state_dict(),
            "seconds": self._seconds,
            "cpu_seconds": self._cpu_seconds,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the state of a checkpoint; values are copied."""
        # First to the size that the state had when it was saved, then its values.
        if len(saved["rows"]) < self.s.size:
            self._select([self.rows.index(row) for row in saved["rows"]])
        self._ended = {
            int(row): Fit.from_plain(one, self.s.device) for row, one in saved["ended"].items()
        }
        self.s.load_state_dict(saved["state"])
        self.optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))
        self.history.load_state_dict(saved["history"])
        for row in self._seconds:
            self._seconds[row] += saved["seconds"][row]
            self._cpu_seconds[row] += saved["cpu_seconds"][row]


def _start_each(rules: Sequence[Stop | Output], s: State, name: str) -> None:
    """Start every problem's rule, and stack their memories along the axis G."""
    begun: list[dict[str, Tensor]] = []
    for rule in rules:
        if begun and rule == rules[0]:  # the same rule remembers the same at the start
            begun.append(begun[0])
            continue
        begun.append({})
        rule.start(s, Memory(begun[-1], ""))
    m = s.memory(name)
    for key in begun[0]:
        m[key] = torch.stack([own[key][g] for g, own in enumerate(begun)])
