"""The end-to-end variational network of Sriram et al., in fastMRI's layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.priors.base import Provenance, Reconstructor
from untrained.priors.coils import UnitCoils
from untrained.priors.extra import library
from untrained.priors.fitting import load_exactly
from untrained.problem import Problem

PREFIX = "varnet."
HEAD = "cascades.0.model.unet.down_sample_layers.0.layers.0.weight"
MAPS = "sens_net.norm_unet.unet.down_sample_layers.0.layers.0.weight"


class EndToEnd(Reconstructor):
    r"""Sriram et al. (MICCAI 2020, arXiv 2004.06688), Eq. 7: on multi-coil k-space k.

    .. math:: k^{t+1} = k^t - \eta^t M (k^t - \tilde k) + F E(U_t(R F^{-1} k^t))

    The coil maps in E and R are those that a network of its own finds in the central columns.

    Differs from the paper, whose image is the root of the sum of squares: the coil images are put
    together with the problem's maps, as everything else here is.
    """

    method: ClassVar[str] = "varnet"

    def pass_through(self, x: Tensor) -> Tensor:
        """Send x, as one coil's image, through every U-Net."""
        network: Any = self.network
        pairs = x.movedim(1, -1).unsqueeze(1).contiguous()  # (G, 1, H, W, 2)
        network.sens_net.norm_unet(pairs)
        for cascade in network.cascades:
            pairs = cascade.model(pairs)
        return pairs.squeeze(1).movedim(-1, 1)

    def reconstruct(self, problem: Problem) -> Tensor:
        """Unroll all cascades; raises UserError for other measurements than columns of k-space."""
        name = self.provenance.file or self.provenance.architecture
        coils = UnitCoils.of(problem, name)
        mask = coils.physics.mask[0, 0, 0] != 0
        if not bool((mask == mask[:1]).all()):
            raise UserError(
                f"{name} was trained on whole columns of k-space, and this mask is another: turn "
                "the k-space where rows were measured, or take another method"
            )
        columns = mask[0].reshape(1, 1, 1, -1, 1)
        measured = problem.y.permute(0, 2, 3, 4, 1).contiguous()
        network: Any = self.network
        maps = network.sens_net(measured, columns)
        kspace = measured
        for cascade in network.cascades:
            kspace = cascade(kspace, measured, columns, maps)
        images = coils.physics.coil_images(kspace.permute(0, 4, 1, 2, 3).contiguous())
        return problem.supported(coils.physics.combine(images) / coils.root.square())


def is_e2e(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of fastMRI, plain or as its training stores them."""
    return {HEAD, MAPS} <= _plain(tensors).keys()


def build_e2e(tensors: Mapping[str, Tensor], provenance: Provenance) -> EndToEnd:
    """Build fastMRI's network of the sizes that the tensors tell.

    Raises:
        UserError: tensors that make no such network, or fastmri cannot be imported.
    """
    plain = _plain(tensors)
    with torch.device("meta"):
        network = library("fastmri.models", "fastmri").VarNet(
            num_cascades=sum(name.endswith(".dc_weight") for name in plain),
            sens_chans=len(plain[MAPS]),
            sens_pools=_levels(plain, MAPS),
            chans=len(plain[HEAD]),
            pools=_levels(plain, HEAD),
        )
    load_exactly(network, plain)
    return EndToEnd(network, provenance)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the network's tensors, without those of a training around it."""
    inside = {n.removeprefix(PREFIX): t for n, t in tensors.items() if n.startswith(PREFIX)}
    return inside or dict(tensors)


def _levels(plain: Mapping[str, Tensor], first: str) -> int:
    """Count how often a U-Net halves the sides."""
    before = first[: first.index("down_sample_layers.") + len("down_sample_layers.")]
    return len({name[len(before) :].split(".")[0] for name in plain if name.startswith(before)})
