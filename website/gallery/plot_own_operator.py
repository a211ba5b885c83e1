"""An operator of your own
=======================

Any object with ``A`` and ``x_shape`` will do. Its adjoint is derived by automatic
differentiation, and ``check_operator`` tests one that you wrote.
"""

import torch
from skimage.data import astronaut

import untrained as ut

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
clean = torch.from_numpy(astronaut()[20:68, 198:246] / 255.0).float().movedim(-1, 0)[None]


class Stripes:
    """Every second row of the picture, and the sum of the others."""

    x_shape = (3, 48, 48)

    def A(self, x: torch.Tensor) -> torch.Tensor:
        """Measure images ``(B, 3, 48, 48)``."""
        return torch.cat([x[:, :, ::2], x[:, :, 1::2].sum(2, keepdim=True)], dim=2)


# %%
# The report that the check prints names what was tested.
print(ut.physics.check_operator(Stripes()))
measured = Stripes().A(clean)
result = ut.reconstruct(
    measured, Stripes(), "dip", steps=100, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
