"""The classical answers, side by side
===================================

Before you trust a network, look at what needs none. All of these solve the same problem as
the other examples of CT, with no setting of yours.
"""

import torch

import untrained as ut
from untrained.data.phantoms import shepp_logan

clean = torch.from_numpy(shepp_logan(48))[None, None]
physics = ut.physics.CT((48, 48), [6.0 * view for view in range(30)], detectors=72)
noise = torch.randn(physics.y_shape, generator=torch.Generator().manual_seed(0))
sinogram = physics.A(clean)
sinogram = sinogram + 0.01 * sinogram.mean() * noise

# %%
# ``compare=False`` leaves out the total-variation image beside each of them.
for method in ("fbp", "dct", "tv"):
    result = ut.reconstruct(sinogram, physics, method, truth=clean, compare=False, progress=False)
    print(f"{method:4} {result.about.metrics['psnr']:.2f} dB in {result.seconds:.1f} s")
figure = result.plot()
