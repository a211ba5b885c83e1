"""The state of one phase of a run, and its single step."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from untrained.core.history import History, row_of
from untrained.core.method import require_gradients
from untrained.core.recipe import Recipe
from untrained.core.role import choice
from untrained.core.rule import Frame, Output, Stop, Stopped, Watch
from untrained.core.state import Memory, State
from untrained.errors import Diverged, UserError
from untrained.group import Group
from untrained.joined import joined
from untrained.nets import DrawnFrom, initialise
from untrained.problem import Problem
from untrained.solver.memory import ADVICE, is_out_of_memory, make_lean, needs_lean
from untrained.solver.track import FACTOR, PATIENCE, Track, off_track

LEAN = (
    "memory is short: the network's inner images are computed twice from here on instead of being "
    "kept, which takes a third longer and changes no number"
)

OFF_TRACK, DIVERGED = "off track", "diverged"
"""The rule that ended a fit whose data term grew and stayed large."""


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
    candidate: int = 0
    dropped: str = ""
    guide: Tensor | None = None

    def plain(self) -> dict[str, Any]:
        return {**vars(self), "stop": vars(self.stop)}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Outcome:
        """What `plain` was made of."""
        return cls(**{**plain, "stop": Stopped(**plain["stop"])})

    def chosen(self) -> dict[str, float]:
        """The history's row of the chosen step."""
        return row_of(self.history, self.stop.step)

    def told(self, more: dict[str, float]) -> Outcome:
        """With numbers of the output rule that hold for every step."""
        columns: dict[str, list[float | str]] = {
            name: [value] * len(self.history["step"]) for name, value in more.items()
        }
        return replace(
            self,
            history=self.history | columns,
            origins=self.origins | dict.fromkeys(more, "output"),
        )

    def to(self, device: torch.device) -> Outcome:
        """The tensors on another device: a checkpoint is read to the CPU."""
        return replace(
            self,
            image=self.image.to(device),
            weights={name: weight.to(device) for name, weight in self.weights.items()},
            z=None if self.z is None else self.z.to(device),
            guide=None if self.guide is None else self.guide.to(device),
        )


class Loop:
    """The state of one phase, and its single step.

    The problems of a `Problem` end one by one: each when its own stop rule says so, as it would
    alone, and the others go on in a smaller state. Those of a `Group` share weights and end
    together.

    Args:
        recipes: one for each problem; they may differ in the numbers of stop and output rule.
            One alone is for all.
        problem: what is fitted.
        held: the measurements held out.
        seed: one for all problems, or one for each.
        half: run the network under bfloat16 autocast.
        rows: which of the caller's problems these are; counted from 0 if not given.
        tracks: what tells that a fit has gone wrong, see `off_track`; None = nothing does.
    """

    def __init__(
        self,
        recipes: Recipe | Sequence[Recipe],
        problem: Problem | Group,
        held: Problem | None,
        seed: int | Sequence[int],
        half: bool,
        rows: Sequence[int] | None = None,
        tracks: Mapping[int, Track] | None = None,
    ) -> None:
        began, cpu = time.perf_counter(), time.process_time()
        each = [recipes] * len(problem) if isinstance(recipes, Recipe) else list(recipes)
        recipe = self.recipe = each[0]
        self.whole, self.held, self.whole_held = problem, held, held
        self.total = max(min(r.budget, r.stop.limit or r.budget) for r in each)
        first = seed if isinstance(seed, int) else seed[0]
        with DrawnFrom(first):  # the weights are drawn again, not what else a network may draw
            module = recipe.build(problem.select(0))
        initialise(module, first)
        self.lean = needs_lean(recipe, problem) and make_lean(module)
        self.s = State(problem, module, seed, half=half, rows=rows)
        self.rows, self.tracks = self.s.rows, tracks
        self.outputs = {row: own.output for row, own in zip(self.rows, each, strict=True)}
        self.s.take_given(problem.pretrained)
        recipe.method.start(self.s)
        self.optimizer = recipe.engine.optimizer(self.s)
        _start_each([r.output for r in each], self.s, "output")
        _start_each([r.stop for r in each], self.s, "stop")
        if recipe.guard is not None:
            recipe.guard.start(self.s, self.s.memory("guard"))
        self.history = History(self.total)
        self.left: dict[int, Outcome] = {}
        self.pause: Stopped | None = None
        self.updating = False
        self.seconds = dict.fromkeys(self.s.rows, 0.0)
        self.cpu_seconds = dict.fromkeys(self.s.rows, 0.0)
        self._spent(began, cpu)

    def over(self) -> bool:
        """Whether the budget is used up, or all have ended."""
        return bool(self.pause) or not self._going() or self.s.step >= self.total

    def step(self, watch: tuple[Watch, ...]) -> None:
        """Loss, one optimiser step, the rules; after every N steps, `advance`."""
        began, cpu = time.perf_counter(), time.process_time()
        s, method = self.s, self.recipe.method
        self._set_rates()
        self.optimizer.zero_grad(set_to_none=True)
        x, terms = method.loss(s)
        objective = torch.stack(list(terms.values())).sum(0)
        if not bool(torch.isfinite(objective).all()):
            return self._diverged(terms, ~torch.isfinite(objective))
        if self.tracks is not None and "data" in terms:
            off = off_track(s, terms["data"].detach(), self.tracks)
            if bool(off.any()):
                return self._end(off, (OFF_TRACK, self._off_track()))
        require_gradients(terms)
        objective.sum().backward()
        self.recipe.engine.clip_gradients(s)
        detached = {name: value.detach() for name, value in terms.items()}
        if self.recipe.guard is not None:
            self.recipe.guard.see(s, s.memory("guard"), detached)
        self.updating = True
        self.optimizer.step()
        with torch.no_grad():
            done = self._rules(x.detach(), detached, watch)
            s.step += 1
            if s.step % method.inner == 0:
                method.advance(s)
        self.updating = False
        self._spent(began, cpu)
        if bool(done.any() if self._apart else done.all()):
            self._end(done)
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

    def outcomes(self, label: str, replaced: bool) -> list[Outcome]:
        """What the phase leaves behind of each problem, or once where they share weights.

        No closing step for an image that a refit replaces, or of a trial.
        """
        left = dict(self.left)
        for place in self._going()[: None if self._apart else 1]:
            left[self.s.rows[place]] = self._outcome(place, None)
        return [self._finished(label, replaced, row, one) for row, one in sorted(left.items())]

    def _finished(self, label: str, replaced: bool, row: int, one: Outcome) -> Outcome:
        """One of `outcomes`: its output rule is asked, and closes where the image is to stay."""
        began, cpu = time.perf_counter(), time.process_time()
        own = self._alone(row) if self._apart else self.s.problem
        image, output, steps = one.image, self.outputs[row], len(one.history["step"])
        history: dict[str, list[float | str]] = {"phase": [label] * steps}
        one = replace(one, history=history | one.history)
        if one.finished and label == "fit" and self.whole_held is not None:
            judged = output.judged(own, image, self.whole_held.select(self.rows.index(row)))
            one = one.told(judged)
            output = output.settled(one.chosen()) if judged else output
        if not (one.finished and replaced):
            image = output.finish(own, image)
        return replace(
            one,
            image=own.to_units(image).clone(),
            guide=None if one.guide is None else own.to_units(one.guide).clone(),
            seconds=one.seconds + time.perf_counter() - began,
            cpu_seconds=one.cpu_seconds + time.process_time() - cpu,
        )

    @property
    def _apart(self) -> bool:
        """Whether each problem ends by itself."""
        return isinstance(self.whole, Problem)

    def _alone(self, row: int) -> Problem:
        """The caller's problem `row`."""
        return self.whole.select(self.rows.index(row))

    def _going(self) -> list[int]:
        """Places of the problems that have not ended."""
        if self.left and not self._apart:
            return []
        return [place for place, row in enumerate(self.s.rows) if row not in self.left]

    def _rules(self, x: Tensor, terms: dict[str, Tensor], watch: tuple[Watch, ...]) -> Tensor:
        """Show the step to every rule; whether each problem should end, `(G,)`."""
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
        return recipe.stop.done(memory)

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

    def _spent(self, began: float, cpu: float) -> None:
        """Book the time since then on the problems that are under way, in equal parts."""
        share = 1 / self.s.size
        wall, used = time.perf_counter() - began, time.process_time() - cpu
        for row in self.s.rows:
            self.seconds[row] += share * wall
            self.cpu_seconds[row] += share * used

    def _diverged(self, terms: dict[str, Tensor], failed: Tensor) -> None:
        bad = [name for name, value in terms.items() if not bool(torch.isfinite(value).all())]
        reason = (
            f"the term '{bad[0] if bad else 'sum'}' became infinite or NaN at step "
            f"{self.s.step + 1}; a smaller engine.lr or engine.precision=fp32 may help"
        )
        if "image" not in self.s.memory("kept"):
            raise Diverged(reason)
        self._end(failed, (DIVERGED, reason))

    def _off_track(self) -> str:
        """Say since when the fit was off its track, and what may help."""
        since = self.s.step + 1 - PATIENCE
        return (
            f"from step {since} on the data term was more than {FACTOR:g} times what it had been; "
            "a smaller engine.lr may help"
        )

    def _end(self, flags: Tensor, why: tuple[str, str] | None = None) -> None:
        """Take the result of the problems that are flagged, and go on without them."""
        if not self._apart:
            flags = torch.ones_like(flags)
        for place in flags.nonzero().flatten().tolist()[: None if self._apart else 1]:
            rule = why or (self.recipe.stop.name, self.recipe.stop.reason(self._of("stop", place)))
            self.left[self.s.rows[place]] = self._outcome(place, rule)
        going = self._going()
        if going:
            self._select(going)

    def _select(self, places: list[int]) -> None:
        """Go on with the problems at these places of the axis G."""
        memory = self.optimizer.state_dict()
        rows = [self.s.rows[place] for place in places]
        problem = joined([self._alone(row) for row in rows])
        assert problem is not None  # some of those that were joined before
        if self.held is not None:
            self.held = joined([self.held.select(place) for place in places])
        self.s.select(places, problem)
        self.history.select(places)
        self.optimizer = self.recipe.engine.optimizer(self.s)
        for kept in memory["state"].values():
            kept.update({k: v[places] for k, v in kept.items() if v.ndim})
        self.optimizer.load_state_dict(memory)

    def _of(self, owner: str, place: int) -> Memory:
        """The memory of a rule for the problem at one place."""
        prefix = f"{owner}/"
        own = {k: v[place : place + 1] for k, v in self.s.tensors.items() if k.startswith(prefix)}
        return Memory(own, prefix)

    def _outcome(self, place: int, ended: tuple[str, str] | None) -> Outcome:
        """Of the problem at one place, its image in network units; of all that share weights."""
        s = self.s
        part = slice(place, place + 1) if self._apart else slice(None)
        image, step = (s.memory("kept")[name][part].clone() for name in ("image", "step"))
        chosen = int(step[0])
        unfinished = self.pause is not None and not ended and s.step < self.total
        output, stop = self.outputs[s.rows[place]], self.recipe.stop
        best = choice(stop, chosen, s.step) if output.keep_best else ""
        rule, reason = ended or (
            "budget",
            f"all {self.total} steps of the budget were taken{best}",
        )
        if self.pause is not None and unfinished:
            rule, reason = self.pause.rule, self.pause.reason
        z = s.tensors.get("z")
        guide = output.leans_on(self._of("output", place))
        rows = [s.rows[place]] if self._apart else s.rows
        return Outcome(
            image=image,
            history=self.history.columns(place),
            origins=self.history.origins,
            stop=Stopped(rule, chosen, reason),
            steps=s.step,
            seconds=sum(self.seconds[row] for row in rows),
            cpu_seconds=sum(self.cpu_seconds[row] for row in rows),
            finished=not unfinished,
            weights={k: w[part].detach().clone() for k, w in s.weights.items()},
            z=None if z is None else z[part].detach().clone(),
            guide=None if guide is None else guide.clone(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes; what a checkpoint holds."""
        return {
            "rows": list(self.s.rows),
            "left": {row: one.plain() for row, one in self.left.items()},
            "state": self.s.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history.state_dict(),
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take up a checkpoint; values are copied."""
        if len(saved["rows"]) < self.s.size:
            self._select([self.rows.index(row) for row in saved["rows"]])
        self.left = {
            int(row): Outcome.of(one).to(self.s.device) for row, one in saved["left"].items()
        }
        self.s.load_state_dict(saved["state"])
        self.optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))
        self.history.load_state_dict(saved["history"])
        for row in self.seconds:
            self.seconds[row] += saved["seconds"][row]
            self.cpu_seconds[row] += saved["cpu_seconds"][row]


def _start_each(rules: Sequence[Stop | Output], s: State, name: str) -> None:
    """Begin every problem's rule; the memory of all is put together."""
    begun: list[dict[str, Tensor]] = []
    for rule in rules:
        if begun and rule == rules[0]:
            begun.append(begun[0])
            continue
        begun.append({})
        rule.start(s, Memory(begun[-1], ""))
    m = s.memory(name)
    for key in begun[0]:
        m[key] = torch.stack([own[key][g] for g, own in enumerate(begun)])
