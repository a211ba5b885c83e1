"""A solver of deepinv's public benchmarks: copy this file to `BENCHMARK/solvers/untrained.py`.

One file for every benchmark: it looks at the operator to find the task. The method sees the
measurements, the operator and the noise level that the operator states; nothing else.
"""

import torch
from benchopt import BaseSolver

KINDS = {
    "Denoising": ("denoise", True),
    "Inpainting": ("inpaint", True),
    "Blur": ("deblur", True),
    "BlurFFT": ("deblur", True),
    "Downsampling": ("superres", True),
    "MRI": ("mri", False),
    "Tomography": ("ct", False),
}
"""Class of deepinv -> the task in `untrained`, and whether its images lie in [0, 1]."""


class Untrained(torch.nn.Module):
    """Reconstruct with a method of `untrained`, by deepinv's call `model(y, physics)`.

    Args:
        method: a name of `untrained list methods`; `auto` chooses by the task.
        preset: `fast`, `best` or `paper`.
        steps: optimiser steps; 0 = the preset's.
        settings: `FIELD=VALUE` texts, as with `--set`.
    """

    def __init__(self, method="auto", preset="fast", steps=0, settings=()):
        super().__init__()
        self.method, self.preset, self.steps = method, preset, steps
        self.settings = settings

    def forward(self, y, physics, **_):
        """Return images (B, C, H, W) for measurements (B, ...)."""
        import untrained

        measured, operator = known_to_untrained(y, physics)
        image = untrained.reconstruct(
            measured,
            operator,
            method=self.method,
            preset=self.preset,
            steps=self.steps,
            settings=self.settings,
            sigma=noise_level(physics),
            compare=False,
            progress=False,
        ).image
        return image.to(y)


def known_to_untrained(y, physics):
    """Return measurements and operator in the form in which `untrained` knows their task.

    Where both libraries have the same operator, ours is taken: it also knows what to hold out.
    Any other operator is told its task and the range of its images.
    """
    import untrained

    name = type(physics).__name__
    shape = tuple(physics.A_adjoint(y).shape[1:])
    if name == "Denoising":
        return y, untrained.physics.Denoise(shape)
    if name == "Inpainting":
        mask = physics.mask.reshape(-1, *physics.mask.shape[-2:])
        if bool((mask == mask[:1]).all()):
            return y, untrained.physics.Inpaint(mask[0], shape)
    if name == "MRI":
        operator = untrained.physics.MRI(physics.mask[0, 0], x_shape=shape)
        return y[:, :, None], operator.to(y.device)  # (B, 2, coils, H, W), one coil
    if name in KINDS:
        physics.task, physics.unit_range = KINDS[name]
        physics.x_shape = shape
    return y, physics


def noise_level(physics):
    """Return the standard deviation of the operator's Gaussian noise, or None."""
    sigma = getattr(getattr(physics, "noise_model", None), "sigma", None)
    return None if sigma is None else float(torch.as_tensor(sigma).max())


class Solver(BaseSolver):
    """Run our methods for benchopt."""

    name = "Untrained"
    parameters = {"method": ["auto", "dip", "aseqdip", "deepdecoder"], "preset": ["fast"]}
    test_config = {"method": "dip", "preset": "fast", "steps": 2}
    requirements = ["pip::untrained"]
    steps = 0

    def set_objective(self, train_dataset=None, physics=None):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = Untrained(self.method, self.preset, self.steps).to(device)
        self.model.device = device

    def run(self, _):
        pass

    def get_result(self):
        return {"model": self.model}
