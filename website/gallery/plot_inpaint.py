"""Fill missing pixels
===================

Half of the pixels are missing. ``fillin`` learns, from this one picture, to predict pixels
that it is not shown. Total variation is shown beside it.
"""

import torch
from skimage.data import astronaut

import untrained as ut

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
clean = torch.from_numpy(astronaut()[20:68, 198:246] / 255.0).float().movedim(-1, 0)[None]
mask = (torch.rand(48, 48, generator=torch.Generator().manual_seed(0)) < 0.5).float()
physics = ut.physics.Inpaint(mask, (3, 48, 48))
holes = physics.A(clean)

# %%
# A pixel of the mask that is 1 was measured.
result = ut.reconstruct(
    holes, physics, "fillin", steps=100, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
print(result.stop[0].reason)
