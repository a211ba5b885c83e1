"""Fewer measurements than pixels
==============================

Each measurement is a random combination of all pixels, and there are a third as many as
pixels. What fills the gap is the network: it draws smooth images first.
"""

import torch

import untrained as ut
from untrained.data.phantoms import shepp_logan

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
clean = torch.from_numpy(shepp_logan(48))[None, None]
physics = ut.physics.CompressedSensing((1, 48, 48), m=48 * 48 // 3, seed=0)
codes = physics.A(clean)

# %%
# A flat phantom is the best case of total variation. Look at both.
result = ut.reconstruct(
    codes, physics, "dip", steps=100, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
