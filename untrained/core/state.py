"""Everything that changes during a reconstruction, and nothing else.

All tensors carry a leading problem axis G, are allocated once and updated in place, and are what
a checkpoint holds. There is no random-number state: `noise(name)` at step t is a function of
(seed, name, t).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from untrained.core.network import call_each
from untrained.core.rule_memory import Memory, assign
from untrained.core.start import LOG_RATE, StartWeights, check_learned
from untrained.errors import UserError
from untrained.nets import initialise
from untrained.priors import Denoiser, Reconstructor
from untrained.problem import Problem
from untrained.problem.group import Group

THETA = "theta/"
"""What the names of variables begin with that are unknowns of the operator."""

NO_PRIOR = "this method asks a pre-trained network: give --prior FILE, or prior= in Python"


class State:
    """Hold everything that changes during one solve.

    Args:
        problem: what may be seen; where measurements are held out, `fit` only. What is unknown of
            its operator becomes variables, `theta/NAME`.
        module: the network; its weights, drawn from the first seed, live here with the axis G in
            front.
        seed: names all noise; one for all problems, or one for each.
        rows: see below; counted from 0 if not given.
        half: run the network under bfloat16 autocast; its output is float32 all the same.
        start: weights learned elsewhere, which take the place of those drawn.

    Attributes:
        step: optimiser steps taken so far.
        rate: the engine's learning rate at this step.
        device: where all tensors are.
        rows: which of the caller's problems these are; one that has ended leaves.
        weights: the network's parameters, name -> `(G, ...)`, or `(1, ...)` where all problems
            share them (see `share`).
        given: names of the network's weights that were learned elsewhere.
        tensors: everything else by name: the method's variables (`z`, duals) and, under
            prefixes, the rules' memories.
        rates: what is optimised: tensor name -> rate relative to the engine's.
    """

    def __init__(
        self,
        problem: Problem | Group,
        module: nn.Module,
        seed: int | Sequence[int],
        *,
        half: bool = False,
        rows: Sequence[int] | None = None,
        start: StartWeights | None = None,
    ) -> None:
        # a method of one problem may ask it anything, one of a group what `Group` answers
        self._problem = cast(Problem, problem)
        self.device = problem.device
        self.module = module.to(self.device)
        self.rows = tuple(range(len(problem)) if rows is None else rows)
        self.seeds = (seed,) * len(problem) if isinstance(seed, int) else tuple(seed)
        self.half = half
        self.step = 0
        self.rate = 0.0
        self.given: frozenset[str] = frozenset()
        self.tensors: dict[str, Tensor] = {}
        self.rates: dict[str, float] = {}
        self.weights: dict[str, Tensor] = self._draw()
        self.start = (start or StartWeights()).to(self.device)
        # After the draw: learned weights replace the drawn ones, and may be the encoder's only.
        self._take_learned(self.start.network)
        if isinstance(problem, Problem):
            for name, guess in problem.physics.unknowns().items():
                each = guess.detach().to(self.device).expand(len(problem), *guess.shape[1:])
                self[f"{THETA}{name}"] = each.clone()

    @property
    def problem(self) -> Problem:
        """What may be seen; of an operator with unknowns, at their present values `theta`."""
        return self._problem.at(**self.theta) if self.theta else self._problem

    @problem.setter
    def problem(self, problem: Problem) -> None:
        self._problem = problem

    @property
    def theta(self) -> dict[str, Tensor]:
        """Return what is unknown of the operator, as of now, name -> `(G, ...)`."""
        return {n[len(THETA) :]: v for n, v in self.tensors.items() if n.startswith(THETA)}

    @property
    def size(self) -> int:
        """Number of problems G."""
        return len(self.rows)

    # a pre-trained network ---------------------------------------------------------------------
    @property
    def denoiser(self) -> Denoiser:
        """Return the pre-trained denoiser that the run was given.

        Raises:
            UserError: it was given none, or another kind of network.
        """
        if not isinstance(self.start.prior, Denoiser):
            raise UserError(f"{NO_PRIOR} (a denoiser)")
        return self.start.prior

    @property
    def reconstructor(self) -> Reconstructor:
        """Return the trained reconstructor that the run was given; raises as `denoiser`."""
        if not isinstance(self.start.prior, Reconstructor):
            raise UserError(f"{NO_PRIOR} (a trained reconstructor)")
        return self.start.prior

    # the method's variables -------------------------------------------------------------------
    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            known = ", ".join(sorted(n for n in self.tensors if "/" not in n)) or "none"
            raise KeyError(f"the state has no tensor '{name}'; it has: {known}")
        return self.tensors[name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        """Store a variable `(G, ...)`; an existing one is overwritten in place."""
        assign(self.tensors, name, value)

    def memory(self, owner: str) -> Memory:
        """Return the memory of the rule `owner`, the tensors under its prefix."""
        return Memory(self.tensors, f"{owner}/")

    def select(self, places: Sequence[int], problem: Problem) -> None:
        """Keep only the problems at these places of the axis G; `problem` holds them joined."""
        self.problem = problem
        self.rows = tuple(self.rows[g] for g in places)
        self.seeds = tuple(self.seeds[g] for g in places)
        for store in (self.weights, self.tensors):
            for name, value in store.items():
                kept = value.detach()[list(places)]
                store[name] = kept.requires_grad_(value.requires_grad)

    # where the weights come from --------------------------------------------------------------
    def _draw(self) -> dict[str, Tensor]:
        """Return the weights of every problem: the module's own, or drawn anew for another seed."""
        drawn: dict[int, dict[str, Tensor]] = {}
        for seed in dict.fromkeys(self.seeds):
            if drawn:  # the module holds the first seed's draw already
                initialise(self.module, seed)
            drawn[seed] = {n: w.detach().clone() for n, w in self.module.named_parameters()}
        each = [drawn[seed] for seed in self.seeds]
        return {name: torch.stack([own[name] for own in each]) for name in each[0]}

    def part(self, name: str) -> list[str]:
        """Return the names of the weights in a part of the network: `encoder`, `decoder`."""
        return [weight for weight in self.weights if weight.startswith(f"{name}.")]

    def share(self, names: Collection[str]) -> None:
        """Keep these weights once, for all problems; draw the others separately for each problem.

        The first problem keeps its draw, so that a group of one is what it would be alone.
        """
        for name in names:
            self.weights[name] = self.weights[name][:1].clone()
        # Weights learned elsewhere are not drawn again. Each draw overwrites the module's own
        # weights, so that it is copied before the next one.
        apart = set(self.weights) - set(names) - self.given
        for g in range(1, self.size if apart else 1):
            initialise(self.module, _noise_seed(self.seeds[0], f"problem {g}", 0))
            for name, weight in self.module.named_parameters():
                if name in apart:
                    self.weights[name][g] = weight.detach()

    def given_input(self, drawn: Tensor) -> Tensor:
        """Return the input that belongs to the learned weights, or `drawn` where none does.

        Raises:
            UserError: it is of another size.
        """
        z = self.start.input
        if z is None:
            return drawn
        if z.shape != drawn.shape[1:]:
            raise UserError(
                f"the pre-trained weights come with an input of {tuple(z.shape)}, and this image "
                f"needs {tuple(drawn.shape[1:])}: take an image of the size that they were "
                "trained on, or train others"
            )
        return z.expand_as(drawn)

    def _take_learned(self, tensors: dict[str, Tensor]) -> None:
        """Set the weights to learned ones: all of the network's, or all of its encoder's.

        Raises:
            UserError: a name or shape that this network does not have, or one that is missing.
        """
        check_learned(tensors, self.weights)
        self.take_weights({name: value.unsqueeze(0) for name, value in tensors.items()})
        self.given = frozenset(tensors)

    def take_best_given(self) -> None:
        """Set each problem's decoder to the one of several learned ones that explains y best.

        Raises:
            UserError: nothing of the kind was learned.
        """
        choices = [
            {name: value.unsqueeze(0) for name, value in one.items()} for one in self.start.decoders
        ]
        if not choices:
            raise UserError(
                "these weights hold an encoder and no decoders to choose from; learn them anew "
                "with: untrained pretrain, or leave decoder=true out"
            )
        with torch.no_grad():
            errors = []
            for tensors in choices:  # leaves the last one in the weights; the best is set below
                self.take_weights(tensors)
                errors.append(self.problem.misfit(self.net(self["z"])))
        best = torch.stack(errors).argmin(0)
        self.take_weights({n: torch.cat([c[n] for c in choices])[best] for n in choices[0]})

    # rates of the layers ----------------------------------------------------------------------
    def learn_rates(self, first: float, ratio: float) -> None:
        """Optimise, beside the weights, a learning rate per layer (a kernel with its offsets).

        Their logarithms are kept with the weights, once for all problems, without being the
        network's: give `net` the weights that it is to have.

        Args:
            first: what they begin at.
            ratio: rate of the logarithms relative to the engine's.
        """
        for layer in dict.fromkeys(map(_layer_of, list(self.weights))):
            name = LOG_RATE + layer
            self.weights[name] = torch.full((1,), first, device=self.device).log()
            self.train_net(ratio, only=[name])

    def learned_rates(self) -> dict[str, Tensor]:
        """Return the rates of `learn_rates`, name of a weight -> rate of its layer, `(1,)`."""
        names = [name for name in self.weights if not name.startswith(LOG_RATE)]
        return {name: self.weights[LOG_RATE + _layer_of(name)].exp() for name in names}

    def given_rates(self) -> dict[str, float]:
        """Return the learned rates, name of a weight -> rate of its layer.

        All are 1 where no weights came.

        Raises:
            UserError: weights came without the rate of a layer.
        """
        if not self.given:
            return dict.fromkeys(self.weights, 1.0)
        learned = self.start.log_rates
        lacking = [n for n in self.weights if _layer_of(n) not in learned]
        if lacking:
            raise UserError(
                f"the pre-trained weights lack the learning rate of the layer "
                f"'{_layer_of(lacking[0])}': they are damaged, or were learned before metadip "
                "learned rates; learn them anew with: untrained pretrain metadip"
            )
        return {n: float(learned[_layer_of(n)].exp()) for n in self.weights}

    # what is optimised ------------------------------------------------------------------------
    def train_net(self, rate: float = 1.0, only: Collection[str] | None = None) -> None:
        """Optimise the network's weights, or those named in `only`; without this call none is."""
        for name in self.weights if only is None else only:
            self.weights[name].requires_grad_(True)
            self.rates[f"net/{name}"] = rate

    def train(self, name: str, rate: float = 1.0) -> None:
        """Optimise the variable `name` at `rate` times the engine's learning rate."""
        self[name].requires_grad_(True)
        self.rates[name] = rate

    def trained(self) -> Iterator[tuple[str, Tensor, float]]:
        """List (name, tensor, relative rate) of everything that is optimised."""
        for name, rate in self.rates.items():
            inside = name.startswith("net/")
            yield name, self.weights[name[4:]] if inside else self.tensors[name], rate

    def take_weights(self, weights: dict[str, Tensor]) -> None:
        """Set the network's weights to these values, each `(G, ...)`."""
        with torch.no_grad():
            for name, value in weights.items():
                self.weights[name].copy_(value)

    def train_unknowns(self, own: Collection[str]) -> None:
        """Optimise what is unknown of the operator, but for what the method fits itself.

        Args:
            own: names that the method fits (`Method.fits`).

        Raises:
            UserError: nothing would fit one of them.
        """
        for name in self.theta.keys() - set(own):
            rate = self._problem.physics.refined.get(name)
            if rate is None:
                raise UserError(
                    f"the operator's {name} is unknown, and this method does not estimate it"
                )
            self.train(f"{THETA}{name}", rate)

    # the network ------------------------------------------------------------------------------
    @property
    def input_sides(self) -> tuple[int, ...]:
        """Spatial sides of the network's input: the image's, or what a decoder grows from."""
        return tuple(getattr(self.module, "input_sides", self._problem.x_shape[1:]))

    def net(
        self, z: Tensor, weights: dict[str, Tensor] | None = None, *, cut: bool = True
    ) -> Tensor:
        """Compute f(z), `(G, C, ...)` -> `(G, C', ...)` float32, each problem by its own weights.

        It is zero where no measurement sees the image (see `Problem.supported`).

        Args:
            z: the input; `(1, C, ...)` where problems of one encoder and apart decoders have the
                same, which the encoder then sees once.
            weights: what stands in for the state's weights (masked or perturbed ones), all
                names, each `(G, ...)`.
            cut: False for an output that is no image, and is not cut to where one is measured.
        """
        given = self.weights if weights is None else weights
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.half):
            x = call_each(self.module, given, z, self.size)
        return self._problem.supported(x.float()) if cut else x.float()

    # randomness -------------------------------------------------------------------------------
    def noise(self, name: str, shape: tuple[int, ...], kind: str = "normal") -> Tensor:
        """Draw noise `(G, *shape)` of this step: standard `normal`, or `uniform` on [0, 1).

        Problems of one seed get the same draw, so that a group equals its singles.
        """
        draw = {"normal": torch.randn, "uniform": torch.rand}[kind]
        drawn: dict[int, Tensor] = {}
        for seed in dict.fromkeys(self.seeds):
            generator = torch.Generator(self.device).manual_seed(_noise_seed(seed, name, self.step))
            drawn[seed] = draw((1, *shape), generator=generator, device=self.device)
        if len(drawn) == 1:
            return drawn[self.seeds[0]].expand(self.size, *shape)
        return torch.cat([drawn[seed] for seed in self.seeds])

    # checkpoint -------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, object]:
        """Return copies of everything that changes."""
        return {
            "step": self.step,
            "weights": {k: v.detach().clone() for k, v in self.weights.items()},
            "tensors": {k: v.detach().clone() for k, v in self.tensors.items()},
        }

    def load_state_dict(self, saved: dict[str, object]) -> None:
        """Restore a checkpoint's values; shapes must agree; values are copied, never aliased."""
        weights = cast(dict[str, Tensor], saved["weights"])
        shapes = [{n: w.shape for n, w in kept.items()} for kept in (weights, self.weights)]
        if shapes[0] != shapes[1]:
            raise ValueError("the weights are those of another network")
        # Only after that check: a state that does not fit leaves this one unchanged.
        self.step = int(saved["step"])  # type: ignore[call-overload]
        self.take_weights(weights)
        with torch.no_grad():
            for name, value in saved["tensors"].items():  # type: ignore[attr-defined]
                self[name] = value.to(self.device)


def _layer_of(name: str) -> str:
    """Return the name of the module that a weight belongs to."""
    return name.rpartition(".")[0]


def _noise_seed(seed: int, name: str, step: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{name}/{step}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")
