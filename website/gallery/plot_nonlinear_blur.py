"""A blur that is not linear
=========================

A camera adds light and then applies a curve to it. An operator that is not linear needs no
adjoint: the gradient comes from automatic differentiation.
"""

import torch
from skimage.data import astronaut

import untrained as ut
from untrained.data.phantoms import gaussian_kernel

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
clean = torch.from_numpy(astronaut()[20:68, 198:246] / 255.0).float().movedim(-1, 0)[None]
physics = ut.physics.NonlinearBlur(gaussian_kernel(1.0), (3, 48, 48))
blurred = physics.A(clean)

# %%
# Classical solvers for linear operators do not apply here, so the report shows none.
result = ut.reconstruct(
    blurred, physics, "dip", steps=100, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
