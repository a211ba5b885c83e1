"""Learn from a handful of scans
=============================

UGoDIT fits one encoder to several degraded images of one kind, none of them clean. A new
image then starts from that encoder.
"""

import torch

import untrained as ut

views = [9.0 * view for view in range(20)]
physics = ut.physics.CT((48, 48), views, detectors=72)


def slice_of(seed: int) -> torch.Tensor:
    """Draw a few discs of random places and values, ``(1, 1, 48, 48)``."""
    draw = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 48), indexing="ij")
    image = (x**2 + y**2 < 0.8).float()
    for _ in range(4):
        cx, cy, r, v = torch.rand(4, generator=draw)
        image += (v - 0.5) * ((x - cx + 0.5) ** 2 + (y - cy + 0.5) ** 2 < 0.02 + 0.08 * r)
    return image.clamp_min(0)[None, None]


# %%
# Four scans to learn from; the fifth is new.
problems = [ut.Problem(physics.A(slice_of(seed)), physics) for seed in range(4)]
weights, _ = ut.pretrain.train(
    "ugodit", problems, steps=60, settings=["net=compact", "net.widths=8,16,32"]
)
new = slice_of(4)
result = ut.reconstruct(
    physics.A(new), physics, "ugodit", weights=weights, steps=100, truth=new, progress=False
)
figure = result.plot()
