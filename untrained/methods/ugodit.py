"""Unsupervised group DIP with transferable weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Never
from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import mse
from untrained.methods.card import LOW_DATA, MEASUREMENTS, WEIGHTS, Card, Training
from untrained.methods.lambdas import Lam, number, with_each_lambda
from untrained.methods.presets import sequential
from untrained.nets import MEDIUM_UNET, SKIP_SHARED
from untrained.rules import Last
from untrained.tasks import ALL_TASKS, find_task


@dataclass(frozen=True)
class UGoDITTraining(Method):
    r"""Algorithm 1 of Liang, Alkhouri et al. (NeurIPS 2025, arXiv 2505.11720).

    .. math:: \min_{\phi, \psi_1..\psi_M} \sum_{i=1}^M \|A_i g_{\psi_i}(h_\phi(z_i)) - y_i\|^2
              + \lambda \|g_{\psi_i}(h_\phi(z_i)) - z_i\|^2, \qquad
              z_i \leftarrow g_{\psi_i}(h_\phi(z_i)), \qquad z_i^0 = A_i^H y_i

    M degraded images, each with its own operator, one encoder h for all and a decoder g for each.
    N optimiser steps per update of the inputs, K updates; no clean image is seen.

    Symbols: K `rounds`, N `inner`, lambda `lam`; the terms are scaled as in `ASeqDIP`: each data
    term is divided by the mean squared singular value of its own operator.
    Normalisations use the statistics of each image alone, in training as at test time.

    Differs from the released code, which does not run as published (its network takes no number
    of decoders): there the gradient steps normalise the M images together and the updates of z
    one by one, which makes them two different networks; super-resolution trains with rate 0.01
    on measurements without noise from bilinear enlargements; the MRI notebook has lambda = 0, no
    update of z, and decodes the first image's features with every decoder.

    Args:
        disentangled: False for Eq. 5, where all images share one decoder as well.
    """

    name: ClassVar[str] = "ugodit-training"
    rounds: int = 2000
    inner: int = 2
    lam: float = 2.0
    disentangled: bool = True

    def start(self, s: State) -> None:
        """z_i <- A_i^H y_i; the encoder exists once, a decoder for each image."""
        s["z"] = s.problem.estimate()
        s.share(s.part("encoder") if self.disentangled else list(s.weights))
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A_i g_i(h(z_i)) - y_i||^2 + lambda ||g_i(h(z_i)) - z_i||^2."""
        z = s["z"]
        x = s.net(z)
        return x, {"data": s.problem.misfit(x), "autoencoding": self.lam * mse(x, z)}

    def advance(self, s: State) -> None:
        """z_i <- g_i(h(z_i))."""
        s["z"] = s.net(s["z"])


@dataclass(frozen=True)
class UGoDIT(Method):
    r"""Algorithm 2 of Liang, Alkhouri et al. (NeurIPS 2025): a new image with a learned encoder.

    .. math:: \min_\psi \|A g_\psi(h_\phi(z)) - y\|^2 + \lambda \|g_\psi(h_\phi(z)) - z\|^2,
              \qquad z \leftarrow g_\psi(h_\phi(z)), \qquad z^0 = A^H y

    as aSeqDIP, with a fresh decoder g and the encoder h of `UGoDITTraining` at rest.

    Differs from the released code, whose MRI notebook trains the encoder too, weighs the
    autoencoding term by 0.001 and adds others.

    Symbols: K `rounds`, N `inner`, lambda `lam`; the terms are scaled as in `ASeqDIP`.

    Args:
        frozen: False for Appendix B, where the learned encoder is a start only; there, with
            lambda = 0, the best choice for images unlike those that it was trained on.
        decoder: True for a start from the learned decoder that explains y best, in place of a
            fresh one. Ours, not the paper's.
    """

    name: ClassVar[str] = "ugodit"
    nonlinear: ClassVar[bool] = True
    rounds: int = 2000
    inner: int = 2
    lam: Lam = 2.0
    frozen: bool = True
    decoder: bool = False

    @property
    def description(self) -> str:
        """Say which of the two encoders, and lambda."""
        encoder = "the learned encoder" if self.frozen else "one that is trained further"
        return f"{encoder} with lambda {self.lam:g}" if self.lam != "auto" else encoder

    def candidates(self) -> tuple[UGoDIT, ...]:
        """Return the method with each lambda to be tried."""
        return with_each_lambda(self)

    def start(self, s: State) -> None:
        """z <- A^H y; the decoder is trained."""
        s["z"] = s.problem.estimate()
        if self.decoder:
            s.take_best_given()
        s.train_net(only=[n for n in s.weights if not (self.frozen and n in s.given)])

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A g(h(z)) - y||^2 + lambda ||g(h(z)) - z||^2."""
        z = s["z"]
        x = s.net(z)
        return x, {"data": s.problem.misfit(x), "autoencoding": number(self.lam) * mse(x, z)}

    def advance(self, s: State) -> None:
        """z <- g(h(z))."""
        s["z"] = s.net(s["z"])


@dataclass(frozen=True)
class RandomEncoder(UGoDIT):
    """The control of `UGoDIT`: an encoder that was drawn at random rests, and was never trained.

    All else is the same, so that what a learned encoder is better by is what learning is worth. It
    is what `ugodit` runs without weights, and ours: the paper has no such row.
    """

    def __post_init__(self) -> None:
        for field, is_set in (("frozen=false", not self.frozen), ("decoder=true", self.decoder)):
            if is_set:
                raise UserError(
                    f"{field} starts from learned weights, and ugodit was given none: give "
                    "--weights FILE (weights= in Python), made by: untrained pretrain ugodit; "
                    "or take --method aseqdip, which trains the whole network from a random start"
                )

    @property
    def description(self) -> str:
        """Say what the encoder is, and lambda."""
        encoder = "a random encoder, never trained,"
        return f"{encoder} with lambda {self.lam:g}" if self.lam != "auto" else encoder

    def start(self, s: State) -> None:
        """z <- A^H y; the decoder is trained, the encoder stays as it was drawn.

        Raises:
            UserError: the network has no encoder apart from its decoder, or weights were given.
        """
        encoder = s.part("encoder")
        if s.given:
            raise UserError(
                "RandomEncoder is UGoDIT without learned weights, and some were given: take "
                "method='ugodit' with them, or leave them out"
            )
        if not encoder:
            raise UserError(
                "ugodit needs a network of an encoder and a decoder, and this one has no such "
                "parts; take --set net=compact, unet or skip"
            )
        s["z"] = s.problem.estimate()
        s.train_net(only=[name for name in s.weights if name not in encoder])


@torch.no_grad()
def features(s: State, z: Tensor) -> list[Tensor]:
    """Maps of h and g at z `(1, C, H, W)` of which Table 3 (Appendix D) counts low frequencies.

    Those of every layer of the encoder, largest scale first (the stem is the first, where the
    network has one), and last the decoder's output.
    """
    encoder, kept = s.module.get_submodule("encoder"), list[Tensor]()

    def keep(_: nn.Module, __: object, out: Tensor | tuple[Tensor | None, Tensor]) -> None:
        kept.append(out if isinstance(out, Tensor) else out[1])

    layers = [encoder.get_submodule("stem"), *encoder.get_submodule("descents").children()]
    hooks = [
        layer.register_forward_hook(keep) for layer in layers if not isinstance(layer, nn.Identity)
    ]
    try:
        out = s.net(z, cut=False)
    finally:
        for hook in hooks:
            hook.remove()
    return [*kept, out]


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    `paper` is Sec. 4: Adam 1e-4, (N, K) = (2, 2000) for
    MRI, (10, 2000) for photographs. `fast` and `best` train the encoder too where the image is
    so unlike those it was learned from that a quarter of the steps shows it.
    """
    method = UGoDIT(inner=_inner(task))
    if preset == "paper":
        return _paper(method, task)
    made = sequential(method, task, preset, "Algorithm 2 with the fast engine")
    return replace(made, alternative=replace(method, frozen=False))


def control(task: str, preset: str) -> Recipe:
    """Return `recipe` with a random encoder, never trained.

    There is nothing to try instead of it.
    """
    made, method = recipe(task, preset), RandomEncoder(inner=_inner(task))
    source = f"{made.source}; a control: the encoder is random and never trained"
    return replace(made, method=method, alternative=None, source=source)


def training(task: str, preset: str) -> Recipe:
    """Return the settings of Algorithm 1, likewise; `fast` takes 600 steps."""
    method = UGoDITTraining(inner=_inner(task))
    if preset == "paper":
        return _paper(method, task)
    made = sequential(method, task, preset, "Algorithm 1 with the fast engine")
    return replace(made, stop=Never(), output=Last(), steps=max(600, made.steps))


def _inner(task: str) -> int:
    return 10 if find_task(task).unit_range else 2


def _paper(method: Method, task: str) -> Recipe:
    return Recipe(
        method=method,
        net=SKIP_SHARED if find_task(task).unit_range else MEDIUM_UNET,
        engine=Engine("adam", lr=1e-4, precision="fp32"),
        output=Last(),
        source="Liang, Alkhouri et al. 2025, Sec. 4; networks from the authors' code",
    )


CONTROL = Card(
    name="ugodit, random encoder",
    title="a control of ugodit: a random encoder, never trained",
    source="our own",
    family=LOW_DATA,
    tasks=ALL_TASKS,
    optimises="the decoder, with input updates",
    recipe=control,
    control_of="ugodit",
)

CARD = Card(
    name="ugodit",
    title="aSeqDIP with an encoder learned from a few degraded images",
    source="Liang, Alkhouri et al., NeurIPS 2025",
    family=LOW_DATA,
    tasks=ALL_TASKS,
    optimises="the decoder, with input updates",
    recipe=recipe,
    needs=WEIGHTS,
    training=Training(
        title="a shared encoder from a few degraded images, a decoder for each",
        learns_from=MEASUREMENTS,
        recipe=training,
        encoder=True,
        decoders=True,
    ),
    control=CONTROL,
)
