"""Problems with physics of their own, fitted side by side by networks that share some weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.problem.problem import Problem


class Group:
    """What a method may ask of several problems at once, each answer `(G, ...)`.

    Unlike the problems of one `Problem`, these have masks, coil maps, kernels or geometries of
    their own, and each is scaled as it would be alone. Their images have one shape.

    Args:
        problems: the problems, of one measurement each.

    Raises:
        UserError: there is none, or their images differ in shape.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        if not problems:
            raise UserError("a group needs at least one problem")
        self.problems = tuple(problems)
        self.x_shape = problems[0].x_shape
        for i, problem in enumerate(problems):
            if problem.x_shape != self.x_shape:
                raise UserError(
                    f"problem {i + 1} has an image of {problem.x_shape}, the first one of "
                    f"{self.x_shape}; what is learned together needs images of one shape: crop "
                    "them, or leave this one out"
                )

    def __len__(self) -> int:
        """Count the problems: G."""
        return len(self.problems)

    @property
    def device(self) -> torch.device:
        """Return the device of its tensors."""
        return self.problems[0].device

    def select(self, index: int) -> Problem:
        """Return problem `index`."""
        return self.problems[index]

    def to(self, device: torch.device | str) -> Group:
        """Move the group to another device."""
        return Group([problem.to(device) for problem in self.problems])

    def weighted(self, weighting: str) -> Group:
        """Change the data weighting."""
        return Group([problem.weighted(weighting) for problem in self.problems])

    def misfit(self, x: Tensor) -> Tensor:
        """Compute the normalised data term of each, `(G,)`."""
        return torch.cat([p.misfit(x[g : g + 1]) for g, p in enumerate(self.problems)])

    def estimate(self) -> Tensor:
        """Compute the scaled adjoint image of each, `(G, C, ...)`."""
        return torch.cat([problem.estimate() for problem in self.problems])

    def supported(self, x: Tensor) -> Tensor:
        """Set x to zero where no measurement of its problem sees it."""
        return torch.cat([p.supported(x[g : g + 1]) for g, p in enumerate(self.problems)])

    def to_units(self, x: Tensor) -> Tensor:
        """Convert images from network units to those of each one's measurements."""
        return torch.cat([p.to_units(x[g : g + 1]) for g, p in enumerate(self.problems)])
