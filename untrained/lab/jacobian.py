"""The Jacobian of a run's network: at any step of any method, or at the end of a run."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from untrained.core.state import State
from untrained.errors import UserError
from untrained.lab.tangent import Tangent, Weights
from untrained.nets import DrawnFrom
from untrained.problem import Problem
from untrained.solver.fit import Fit


class Jacobian(Tangent):
    """The Jacobian of a network as an operator, see `Tangent` for its arguments and products."""

    @classmethod
    def of_state(
        cls,
        s: State,
        input: Tensor | None = None,
        *,
        row: int = 0,
        only: Sequence[str] | None = None,
        dtype: torch.dtype | None = None,
        together: int | None = None,
    ) -> Jacobian:
        """Linearise the network of a run at the weights that it has now.

        Args:
            s: the state of any method at any step.
            input: the network's input `(1, C, ...)` or `(G, C, ...)`; None = the state's `z`,
                without the noise that some methods add to it at each step.
            row: which of the G problems.
            only: names of the weights that may move; None = those that the method trains, or all
                where it trains none.
            dtype: float64 for exact work; None = float32, also where the run is in bfloat16.
            together: see the class.

        Raises:
            UserError: the method keeps no `z` and none was given, or a name is unknown.
        """
        if not 0 <= row < s.size:
            raise UserError(f"row={row}: the state has {s.size} problems, counted from 0")
        if input is None:
            if "z" not in s.tensors:
                raise UserError(
                    "this method keeps no network input 'z' in its state; give input= to of_state"
                )
            input = s["z"]
        z = input[row : row + 1] if len(input) > 1 else input
        own = {n: w[row if len(w) > 1 else 0] for n, w in s.weights.items() if n in _names(s)}
        trained = [name for name in own if f"net/{name}" in s.rates]
        names = list(only) if only is not None else trained or list(own)
        problem = s.problem.select(row)
        return cls.of_network(s.module, own, z, problem, only=names, dtype=dtype, together=together)

    @classmethod
    def of_fit(
        cls, fit: Fit, problem: Problem, *, row: int = 0, dtype: torch.dtype | None = None
    ) -> Jacobian:
        """Linearise the network of a finished run at its last weights and input.

        Args:
            fit: a result; its weights are those of the last step, not of a chosen earlier one.
            problem: what was fitted.
            row: which of its problems.
            dtype: see `of_state`.

        Raises:
            UserError: it kept no weights or no input, as a classical answer.
        """
        if fit.recipe is None or not fit.weights or fit.z is None:
            raise UserError(
                "this result holds no network with an input (a classical answer holds none): "
                "its Jacobian does not exist"
            )
        one = problem.select(row)
        with DrawnFrom(fit.seed):
            module = fit.final_recipe().build(one)
        known = {name for name, _ in module.named_parameters()}
        own = {n: w[row if len(w) > 1 else 0] for n, w in fit.weights.items() if n in known}
        z = fit.z[row : row + 1] if len(fit.z) > 1 else fit.z
        return cls.of_network(module, own, z, one, dtype=dtype)

    @classmethod
    def of_network(
        cls,
        module: nn.Module,
        weights: Mapping[str, Tensor],
        z: Tensor,
        problem: Problem | None = None,
        *,
        only: Sequence[str] | None = None,
        dtype: torch.dtype | None = None,
        together: int | None = None,
    ) -> Jacobian:
        """Linearise a network at its input z `(1, C, ...)`; the image has no batch axis.

        With a `problem` the image is cut to where it is measured, as in a run.
        """
        unknown = [name for name in only or () if name not in weights]
        if unknown:
            raise UserError(
                f"the network has no weight '{unknown[0]}'; it has: {', '.join(weights)}"
            )
        dtype = dtype or torch.promote_types(z.dtype, torch.float32)
        # A copy: the run's own network is not to change its type, nor to save memory by computing
        # blocks twice, which functional transforms do not follow.
        net = copy.deepcopy(module).to(device=z.device, dtype=dtype)
        for part in net.modules():
            if getattr(part, "lean", False):
                part.lean = False  # type: ignore[assignment]
        given = {name: weight.detach().to(dtype) for name, weight in weights.items()}
        z = z.detach().to(dtype)
        moving = {n: w for n, w in given.items() if only is None or n in only}
        fixed = {n: w for n, w in given.items() if n not in moving}

        def image(own: Weights) -> Tensor:
            x = functional_call(net, {**fixed, **own}, (z,))
            return (x if problem is None else problem.supported(x))[0]

        return cls(image, moving, together=together)


def _names(s: State) -> set[str]:
    """Return the names of the network's own weights; a method may keep rates beside them."""
    return {name for name, _ in s.module.named_parameters()}
