"""What a method is: one paper's equations, in three verbs.

`solve` calls `loss` and takes one optimiser step N times (`inner`), then `advance`, K times
(`rounds`). A method is a frozen dataclass; its fields are the paper's settings by the paper's
letters. It never sees files, metrics, the truth, or when to stop. No method inherits from
another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from untrained.core.state import State
from untrained.errors import UserError
from untrained.problem import Problem


class Method(ABC):
    """One paper. Subclasses are frozen dataclasses with the fields `rounds` (K) and `inner` (N).

    Attributes:
        name: the name on the command line; the class's in lower case unless given.
        nonlinear: True when the method needs no adjoint and so accepts nonlinear physics.
        copies: networks of the recipe's design side by side, each with weights of its own; their
            inputs and outputs are joined along the channels.
        restarts: True when the optimiser forgets its moments after every round.
        framewise: True when its network draws one frame of a time series at a time.
        fits: of what is unknown of an operator (`Physics.unknowns`), what the method's own
            equations fit: `loss` sets `s["theta/NAME"]`.
        differentiates: True when it asks the gradient of its pre-trained network with respect to
            the image, whose inner images have to be kept for that.
        coordinates: True when z holds the coordinates of every pixel, which the networks need that
            draw each pixel from its place alone.
        of_coordinates_only: True when no other network makes sense.
    """

    name: ClassVar[str]
    nonlinear: ClassVar[bool] = False
    copies: ClassVar[int] = 1
    restarts: ClassVar[bool] = False
    framewise: ClassVar[bool] = False
    fits: ClassVar[tuple[str, ...]] = ()
    differentiates: ClassVar[bool] = False
    coordinates: ClassVar[bool] = False
    of_coordinates_only: ClassVar[bool] = False
    rounds: int
    inner: int

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in {name for base in cls.__mro__ for name in vars(base)}:
            cls.name = cls.__name__.lower()

    @property
    def description(self) -> str:
        """A phrase for notes that sets it apart from the other candidates of its recipe."""
        return self.name

    def candidates(self) -> tuple[Method, ...]:
        """Return the methods to choose between on held-out measurements: by default itself alone.

        A method with a field whose value is still open returns a copy for each value.
        """
        return (self,)

    def input_channels(self, image_channels: int) -> int:
        """Return the number of channels of the network's input z."""
        return image_channels

    def channels_of_input(self, x_shape: tuple[int, ...]) -> int:
        """Return the number of channels of z for images of that shape, without batch axis."""
        return self.input_channels(x_shape[0])

    def output_channels(self, problem: Problem) -> int:
        """Return the number of channels of the network's output, as a rule the image's."""
        return problem.x_shape[0]

    def levels_asked(self) -> tuple[float, ...]:
        """List the noise levels that the method's fields ask a pre-trained denoiser for.

        None by default; a method that takes them from the prior has none.
        """
        return ()

    def within(self, steps: int) -> Method:
        """Return the method with its work before the image (training, search) scaled to `steps`."""
        return self

    @abstractmethod
    def start(self, s: State) -> None:
        """Create the input z and other variables; choose what is trained (`s.train_net()`, ...)."""

    @abstractmethod
    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the image of this step `(G, C, ...)` and the objective's terms, each `(G,)`.

        The image is the one before this step's update of the weights. The engine minimises the
        sum of the terms over all problems.
        """

    def advance(self, s: State) -> None:  # noqa: B027  most papers have no such line
        """Update variables between rounds, without gradients; take a new forward pass if needed."""


def require_gradients(x: Tensor, terms: dict[str, Tensor]) -> None:
    """Refuse a term of the objective that no gradient reaches, since nothing would minimise it.

    A term of zeros may have none: a method may switch it off. So may every term where the image x
    has none: a method may show it while something else is learned.

    Raises:
        UserError: names the term.
    """
    for name, value in terms.items():
        if x.requires_grad and not value.requires_grad and bool(value.any()):
            raise UserError(
                f"the term '{name}' of the objective has no gradient, so that nothing could be "
                "fitted to it; does the operator or the method leave torch there (numpy, "
                ".detach(), torch.no_grad() or rounding)?"
            )
