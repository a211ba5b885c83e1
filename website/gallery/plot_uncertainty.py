"""How sure is this picture?
=========================

``uncertainty="ensemble"`` fits several networks, and calibrates their spread on measurements
that no fit has seen. The result has a standard deviation and an interval for every pixel.
"""

import torch

import untrained as ut
from untrained.data.phantoms import birdcage_maps, brain

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
image = brain(48)
clean = torch.from_numpy(image)[None, None]
clean = torch.cat([clean.real, clean.imag], dim=1).float()  # (1, 2, 48, 48)
maps = torch.from_numpy(birdcage_maps(4, (48, 48)))[None]
mask = torch.zeros(48, 48)
mask[:, 20:28] = 1  # the fully sampled centre
mask[:, ::2] = 1  # and every second column
physics = ut.physics.MRI(mask, maps)
kspace = physics.A(clean)

# %%
# The share of held-out measurements that lie within their interval is reported, not assumed.
result = ut.reconstruct(
    kspace,
    physics,
    "dip",
    steps=60,
    uncertainty="ensemble",
    settings=SMALL,
    truth=clean,
    progress=False,
)
told = result.uncertainty
print(f"nominal {told.level:.0%}, held-out measurements within: {told.coverage_heldout:.0%}")
print("standard deviation, mean over pixels:", float(result.std.mean()))
figure = result.plot()
