"""Why one has to stop
===================

A network that is fitted for too long draws the noise as well. Here the run takes its whole
budget (``stop="none"``) and returns the last image (``output="last"``): the PSNR rises, and
then it falls, while the objective falls all the time.
"""

import torch
from skimage.data import astronaut

import untrained as ut

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
clean = torch.from_numpy(astronaut()[20:68, 198:246] / 255.0).float().movedim(-1, 0)[None]
noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
physics = ut.physics.Denoise((3, 48, 48))
noisy = clean + 40 / 255 * noise

# %%
# The PSNR of each step's image is in the history, because a reference was given.
result = ut.reconstruct(
    noisy, physics, "dip", stop="none", output="last", steps=250, truth=clean, progress=False,
    settings=["jitter=0", *SMALL],
)  # fmt: skip
psnr = torch.tensor(result.history["psnr"])
best = int(psnr.argmax())
print(f"best at step {best + 1}: {psnr[best]:.2f} dB; at the end {psnr[-1]:.2f} dB")
figure = result.plot()
