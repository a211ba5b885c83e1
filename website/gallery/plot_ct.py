"""CT from thirty views
====================

Filtered backprojection needs many views. From thirty of them it draws streaks. The sinogram
has the layout ``(1, 1, detectors, views)``.
"""

import torch

import untrained as ut
from untrained.data.phantoms import shepp_logan

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
clean = torch.from_numpy(shepp_logan(48))[None, None]
physics = ut.physics.CT((48, 48), [6.0 * view for view in range(30)], detectors=72)
noise = torch.randn(physics.y_shape, generator=torch.Generator().manual_seed(0))
sinogram = physics.A(clean)
sinogram = sinogram + 0.01 * sinogram.mean() * noise

# %%
# On an object of flat pieces total variation is hard to beat.
result = ut.reconstruct(
    sinogram, physics, "aseqdip", steps=100, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
