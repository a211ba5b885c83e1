"""Let a rule choose the step
==========================

The rule ``heldout`` hides a few measurements from the fit and keeps the step whose image
predicts them best. ``wmv`` watches how much the images still change. Neither sees the clean
image.
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
# Rules combine: ``heldout | time:60`` ends a run when either of them asks for it.
for rule in ("heldout:60", "wmv:60"):
    result = ut.reconstruct(
        noisy, physics, "dip", stop=rule, steps=150, settings=SMALL, truth=clean, progress=False
    )
    print(f"{rule}: step {result.stop[0].step}, {result.about.metrics['psnr']:.2f} dB")
    print(f"  because {result.stop[0].reason}")
figure = result.plot()
