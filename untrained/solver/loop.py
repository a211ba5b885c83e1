"""The one loop: loss, one optimiser step, the rules; `advance` after every N = `inner` steps.

`run_stage` is the loop, `take_step` one step of it; `checkpoint.py` is what it saves. A stage is
one pass over the steps (a first fit, the refit of all measurements, a trial): `stage.py` holds
what changes during one, `procedure.py` says which stages a fit consists of.
"""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.core.method import require_gradients
from untrained.core.rule import Frame
from untrained.core.watch import Watch
from untrained.solver.context import RunContext
from untrained.solver.fit import Fit
from untrained.solver.memory import LEAN
from untrained.solver.stage import Stage, Stopwatch
from untrained.solver.stage_input import StageInput
from untrained.solver.track import off_track


def run_stage(context: RunContext, given: StageInput) -> list[Fit]:
    """Run one stage to its end, from its start or from its checkpoint; a fit for each problem."""
    checkpoint = context.checkpoint
    if given.name in checkpoint.finished:
        return _restore_finished(context, given)
    with context.watched(given.name):
        stage = Stage(given, context.half, context.start)
        if stage.lean:
            context.say(LEAN)
        _resume(context, stage)
        while not stage.is_over():
            try:
                take_step(stage, context.watch)
            except (MemoryError, RuntimeError) as error:
                # A step that failed for want of memory changed nothing: it is taken again.
                context.say(stage.save_memory(error))
                continue
            # Between two steps, never within one: a checkpoint holds whole steps only.
            stage.pause = context.pause()
            if stage.pause or checkpoint.due():
                state = {**stage.state_dict(), "watch": context.watchers_memory()}
                checkpoint.save(given.name, stage.s.step, state)
    # The watchers have ended: what closes an image may take long and is no step.
    fits = stage.fits()
    # An unfinished stage stays in the checkpoint as it was saved, to be resumed.
    if all(one.finished for one in fits):
        checkpoint.finish(
            given.name,
            {
                "fits": [one.to_plain() for one in fits],
                "steps": sum(one.steps for one in fits),
                "watch": context.watchers_memory(),
            },
        )
    return fits


def take_step(stage: Stage, watch: tuple[Watch, ...]) -> None:
    """Compute the loss, take one optimiser step, ask the rules; after every N steps `advance`."""
    stopwatch = Stopwatch()
    s, recipe = stage.s, stage.recipe
    stage.set_rates()
    stage.optimizer.zero_grad(set_to_none=True)
    x, terms = recipe.method.loss(s)  # x: the image of the weights before this step's update
    objective = torch.stack(list(terms.values())).sum(0)  # (G,)

    # Before any gradient: a fit that has gone wrong ends with the last good weights and image.
    if not bool(torch.isfinite(objective).all()):
        return stage.end_diverged(terms, ~torch.isfinite(objective))
    if stage.tracks is not None and "data" in terms:
        off = off_track(s, terms["data"].detach(), stage.tracks)
        if bool(off.any()):
            return stage.end_off_track(off)

    require_gradients(x, terms)
    # One sum over the problems: each has weights of its own, so that their gradients stay apart.
    if objective.requires_grad:  # of a method that trains nothing it does not
        objective.sum().backward()
    recipe.engine.clip_gradients(s)
    terms = {name: value.detach() for name, value in terms.items()}
    # The guard comes after the gradients and before the update: it may put older weights in
    # place, which the update then moves.
    if recipe.guard is not None:
        recipe.guard.see(s, s.memory("guard"), terms)
    stage.updating = True  # from here on the step cannot be repeated
    stage.optimizer.step()

    with torch.no_grad():
        # The rules see x, which belongs to `terms`; s.step still counts the steps before this one,
        # and so names the noise that they may draw.
        done = _show_rules(stage, x.detach(), terms, watch)
        s.step += 1
        # After the rules, since it may change z, from which the next image is made.
        if s.step % recipe.method.inner == 0:
            recipe.method.advance(s)
            if recipe.method.restarts:
                stage.optimizer = recipe.engine.optimizer(s)
    stage.updating = False
    stage.book(stopwatch)
    # Last of all: problems that end leave the state, and the others go on in a smaller one.
    if bool(done.any() if stage.separate else done.all()):
        stage.end(done)
    return None


def _show_rules(
    stage: Stage, x: Tensor, terms: dict[str, Tensor], watch: tuple[Watch, ...]
) -> Tensor:
    """Show a step to every rule, and write its row; whether each problem should end, `(G,)`."""
    s, recipe = stage.s, stage.recipe
    # What is held out is predicted by the operator that was found so far.
    held = None if stage.held is None else stage.held.at(**s.theta)
    # Output before stop: the stop rule may judge what would be returned, not only x.
    out = recipe.output.see(s, s.memory("output"), x, held)
    frame = Frame(s.step + 1, x, out, terms, held)
    memory = s.memory("stop")
    recipe.stop.see(s, memory, frame)
    stage.keep(out, recipe.stop.improved(memory), frame.step)
    seen = {name: value for w in watch for name, value in w.columns(s, frame).items()}
    row = stage.history.add(
        frame.step,
        {
            "objective": terms,
            "stop": recipe.stop.statistic(memory),
            "output": recipe.output.statistic(s.memory("output")),
            "watch": seen,
        },
    )
    for w in watch:
        w.step(frame, row)
    return recipe.stop.done(memory)


def _restore_finished(context: RunContext, given: StageInput) -> list[Fit]:
    """Return the fits of a stage that the checkpoint holds as finished."""
    with context.checkpoint.taken_up():
        done = context.checkpoint.finished[given.name]
        context.recall(done["watch"])
        return [Fit.from_plain(one, given.problem.device) for one in done["fits"]]


def _resume(context: RunContext, stage: Stage) -> None:
    """Go on where the checkpoint left this stage, if it did; tell the watchers that it begins."""
    checkpoint, name = context.checkpoint, stage.given.name
    saved = checkpoint.resume(name)
    if saved is not None:
        with checkpoint.taken_up():
            stage.load_state_dict(saved)
    context.begin(name, stage.total, stage.s.step)  # at the step that was reached
    with checkpoint.taken_up():  # after `begin`, which resets what the watchers remember
        context.recall({} if saved is None else saved["watch"])
