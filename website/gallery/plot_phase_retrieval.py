"""An image from Fourier amplitudes
================================

Only the amplitudes of the Fourier transform of the padded image are known; the phases are
lost. The amplitudes are the same for an image that is turned by 180 degrees or moved, so the
result is compared in the orientation that fits.
"""

import torch

import untrained as ut
from untrained.data.phantoms import shepp_logan

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
clean = torch.from_numpy(shepp_logan(48))[None, None]
physics = ut.physics.PhaseRetrieval((1, 48, 48))
amplitudes = physics.A(clean)

# %%
# The classical answer is the hybrid input-output algorithm.
result = ut.reconstruct(
    amplitudes, physics, "dip", steps=100, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
print(result.about.classical_name, result.about.classical_metrics)
