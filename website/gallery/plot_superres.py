"""Make a small picture four times as large
========================================

Each measured pixel is a mean of 4 x 4 pixels. The network draws the large picture. Its means
must agree with what was measured.
"""

import torch
from skimage.data import astronaut

import untrained as ut

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
clean = torch.from_numpy(astronaut()[20:68, 198:246] / 255.0).float().movedim(-1, 0)[None]
physics = ut.physics.SuperRes((3, 48, 48), factor=4)
small = physics.A(clean)

# %%
# The measurement has another size than the image, so it is shown in a panel of its own.
result = ut.reconstruct(
    small, physics, "dip", steps=100, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
print(tuple(small.shape), "->", tuple(result.image.shape))
