"""Electrical impedance tomography
===============================

Currents flow through a tank, and voltages are measured at its rim. The operator is a finite-
element model: it is not linear, and its gradient is its own.
"""

import torch

import untrained as ut

SMALL = ["net.widths=8,16,32"]  # a narrow network, for a short run
mesh = ut.physics.disc_mesh(16)
turns = torch.eye(16) - torch.roll(torch.eye(16), 1, dims=0)
physics = ut.physics.EIT(mesh, 1e-3 * turns.numpy(), turns.numpy(), (1, 32, 32))
y, x = torch.meshgrid(torch.linspace(1, -1, 32), torch.linspace(-1, 1, 32), indexing="ij")
clean = 1.0 + 2.0 * (((x - 0.3) ** 2 + (y - 0.2) ** 2) < 0.06).float()[None, None]
voltages = physics.A(clean)

# %%
# Colours are logarithmic: red resists, blue conducts.
result = ut.reconstruct(
    voltages, physics, "dip", steps=40, settings=SMALL, truth=clean, progress=False
)
figure = result.plot()
