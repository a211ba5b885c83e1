"""Remove a known blur
===================

The picture is convolved with a known Gaussian kernel, and a little noise is added. Noise is
what makes this hard: it is amplified wherever the kernel removes a frequency.
"""

import torch
from skimage.data import astronaut

import untrained as ut
from untrained.data.phantoms import gaussian_kernel

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
clean = torch.from_numpy(astronaut()[20:68, 198:246] / 255.0).float().movedim(-1, 0)[None]
physics = ut.physics.Blur(gaussian_kernel(1.2), (3, 48, 48))
noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
blurred = physics.A(clean) + 2 / 255 * noise

# %%
# A kernel of your own is a two-dimensional array with sum 1.
result = ut.reconstruct(
    blurred, physics, "dip", steps=100, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
