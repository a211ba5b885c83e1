"""MRI with several coils, undersampled
====================================

Every fourth column of k-space is measured, and the centre. The image is complex: two real
channels, all the way. Coil maps are known here; from a file they are estimated by ESPIRiT.
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
mask[:, ::4] = 1  # and every fourth column
physics = ut.physics.MRI(mask, maps)
kspace = physics.A(clean)

# %%
# aSeqDIP starts from the zero-filled image and updates its own input.
result = ut.reconstruct(
    kspace, physics, "aseqdip", steps=100, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
