"""Denoise a photograph
====================

We add white noise to a crop of a photograph and fit a small network to the noisy pixels only.
The clean image is used for the printed PSNR and for the curve. Nothing else sees it.
"""

import torch
from skimage.data import astronaut

import untrained as ut

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
clean = torch.from_numpy(astronaut()[20:68, 198:246] / 255.0).float().movedim(-1, 0)[None]
noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
physics = ut.physics.Denoise((3, 48, 48))
noisy = clean + 25 / 255 * noise

# %%
# ``reconstruct`` chooses the network, the step to keep and the output. ``truth`` feeds the PSNR.
result = ut.reconstruct(
    noisy, physics, "dip", steps=100, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
print(result.stop[0].reason)
