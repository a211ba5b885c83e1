"""Every method by name: what it is, where it is from, and its recipe per task and preset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from untrained.core.recipe import Recipe
from untrained.errors import UserError
from untrained.methods import (
    aseqdip,
    autoencoder,
    convdecoder,
    deepdecoder,
    deepred,
    dip,
    dop,
    doubledip,
    drp,
    edip,
    house,
    metadip,
    nerp,
    oes,
    refguided,
    rethinking,
    selfguided,
    sgld,
    strainer,
    tvdip,
    ugodit,
)
from untrained.methods.aseqdip import ASeqDIP
from untrained.methods.autoencoder import Autoencoder
from untrained.methods.convdecoder import ConvDecoderFit
from untrained.methods.deepdecoder import DeepDecoderFit
from untrained.methods.deepred import DeepRED
from untrained.methods.dip import DIP
from untrained.methods.dop import DOP
from untrained.methods.doubledip import DoubleDIP
from untrained.methods.drp import DRP
from untrained.methods.edip import EDIP
from untrained.methods.house import House
from untrained.methods.metadip import MetaDIP
from untrained.methods.nerp import NeRP
from untrained.methods.oes import OES
from untrained.methods.presets import PRESETS
from untrained.methods.refguided import RefGuided
from untrained.methods.rethinking import Rethinking
from untrained.methods.selfguided import SelfGuided
from untrained.methods.sgld import SGLD
from untrained.methods.strainer import Strainer
from untrained.methods.tvdip import TVDIP
from untrained.methods.ugodit import UGoDIT
from untrained.tasks import ALL_TASKS, LINEAR_TASKS


@dataclass(frozen=True)
class Card:
    """A method as `untrained list methods` shows it.

    Attributes:
        name: what `--method` takes.
        title: one line.
        source: the paper.
        tasks: where it applies.
        optimises: what it fits; `nothing` for a formula, `the image` for a classical solver.
        recipe: (task, preset) -> Recipe; None for a classical method.
        pretrained: whether it starts from weights that `untrained pretrain` learned.
        guided: whether it leans on clean images of similar content (`--guide`).
        control: of a pre-trained method, what is run without weights; None where it needs them.
        control_of: of a control, the method that it is held against.
    """

    name: str
    title: str
    source: str
    tasks: tuple[str, ...]
    optimises: str
    recipe: Callable[[str, str], Recipe] | None = None
    pretrained: bool = False
    guided: bool = False
    control: Card | None = None
    control_of: str = ""

    @property
    def classical(self) -> bool:
        """Whether it fits no network."""
        return self.recipe is None


_CARDS = (
    Card("adjoint", "A^H y with the scalar that fits y best", "textbook", LINEAR_TASKS, "nothing"),
    Card("fbp", "filtered backprojection", "Kak & Slaney 1988", ("ct",), "nothing"),
    Card(
        "cgsense",
        "conjugate gradients on the normal equations",
        "Pruessmann et al., MRM 2001",
        LINEAR_TASKS,
        "the image",
    ),
    Card(
        "tv",
        "total variation by a primal-dual solver, weight chosen from the measurements",
        "Rudin, Osher, Fatemi 1992; Chambolle & Pock 2011",
        LINEAR_TASKS,
        "the image",
    ),
    Card(
        "l1wavelet",
        "l1-wavelet compressed sensing (SigPy)",
        "Lustig, Donoho, Pauly, MRM 2007",
        LINEAR_TASKS,
        "the image",
    ),
    Card(
        "dct",
        "sliding cosine transforms as a plug-and-play prior, strength chosen from the measurements",
        "Yaroslavsky 1996; Zhang et al., TPAMI 2022",
        LINEAR_TASKS,
        "the image",
    ),
    Card(
        "lowrank",
        "groups of alike blocks, brought to low rank, as a plug-and-play prior",
        "Dong et al., TIP 2014; Gavish & Donoho 2017",
        ("inpaint", "mri", "ct", "cs", "custom"),
        "the image",
    ),
    Card(
        "nlbayes",
        "non-local Bayes as a plug-and-play prior: alike blocks are one normal distribution",
        "Lebrun, Buades, Morel, SIAM J. Imaging Sci. 2013",
        LINEAR_TASKS,
        "the image",
    ),
    Card(
        "house",
        "our own: DIP made fast and stable, mixed with a classical image",
        "this library",
        ALL_TASKS,
        "the network",
        house.recipe,
    ),
    Card(
        "dip",
        "Deep Image Prior",
        "Ulyanov, Vedaldi, Lempitsky, CVPR 2018",
        ALL_TASKS,
        "the network",
        dip.recipe,
    ),
    Card(
        "tvdip",
        "Deep Image Prior with total variation",
        "Liu, Sun, Xu, Kamilov, ICASSP 2019",
        ALL_TASKS,
        "the network",
        tvdip.recipe,
    ),
    Card(
        "aseqdip",
        "autoencoding sequential Deep Image Prior",
        "Alkhouri, Liang, Bell, Qu, Wang, Ravishankar, NeurIPS 2024",
        ALL_TASKS,
        "the network, with input updates",
        aseqdip.recipe,
    ),
    Card(
        "selfguided",
        "Self-Guided DIP: the input is trained with the network",
        "Liang, Bell, Qu, Wang, Ravishankar, IEEE TCI 2025",
        ALL_TASKS,
        "the network and its input",
        selfguided.recipe,
    ),
    Card(
        "refguided",
        "reference-guided DIP: the input is a known, similar image (--guide)",
        "Zhao, Zhao, Gan, Sensors 2020",
        ALL_TASKS,
        "the network",
        refguided.recipe,
        guided=True,
    ),
    Card(
        "sgld",
        "DIP by Langevin dynamics, the mean of many samples",
        "Cheng, Gadelha, Maji, Sheldon, CVPR 2019",
        ALL_TASKS,
        "the network",
        sgld.recipe,
    ),
    Card(
        "rethinking",
        "DIP on Stein's unbiased risk estimate, stops by itself",
        "Jo, Chun, Choi, ICCV 2021",
        ("denoise",),
        "the network",
        rethinking.recipe,
    ),
    Card(
        "deepdecoder",
        "Deep Decoder: fewer weights than pixels",
        "Heckel, Hand, ICLR 2019",
        ALL_TASKS,
        "the network",
        deepdecoder.recipe,
    ),
    Card(
        "convdecoder",
        "ConvDecoder: one image per coil, no maps in the way",
        "Darestani, Heckel, IEEE TCI 2021",
        ("mri",),
        "the network",
        convdecoder.recipe,
    ),
    Card(
        "oes",
        "Optimal Eye Surgeon: a sparse sub-network found before training",
        "Ghosh, Zhang, Sun, Qu, Ravishankar, Wang, ICML 2024",
        ALL_TASKS,
        "a mask, then the sub-network",
        oes.recipe,
    ),
    Card(
        "dop",
        "double over-parameterisation: impulses are told from the image",
        "You, Zhu, Qu, Ma, NeurIPS 2020",
        LINEAR_TASKS,
        "the network and the corruption",
        dop.recipe,
    ),
    Card(
        "doubledip",
        "double DIP: one network for the magnitude, one for the phase",
        "Zhuang, Yang, Hofmann, Barmherzig, Sun, Electronic Imaging 2023",
        ("phase",),
        "two networks",
        doubledip.recipe,
    ),
    Card(
        "drp",
        "Deep Random Projector: the input and the normalisations only",
        "Li, Wang, Zhuang, Sun, CVPR 2023",
        ALL_TASKS,
        "the input and the normalisations",
        drp.recipe,
    ),
    Card(
        "deepred",
        "DeepRED: DIP with a denoiser as regulariser, by splitting",
        "Mataev, Milanfar, Elad, ICCV workshops 2019",
        LINEAR_TASKS,
        "the network, with updates of the image",
        deepred.recipe,
    ),
    Card(
        "autoencoder",
        "a network trained on clean images (--guide), then its input",
        "Alkhouri, Liang et al., NeurIPS 2024, App. B",
        LINEAR_TASKS,
        "the network on clean images, then its input",
        autoencoder.recipe,
        guided=True,
    ),
    Card(
        "ugodit",
        "aSeqDIP with an encoder learned from a few degraded images (--weights)",
        "Liang, Alkhouri et al., NeurIPS 2025",
        ALL_TASKS,
        "the decoder, with input updates",
        ugodit.recipe,
        pretrained=True,
        control=Card(
            "ugodit, random encoder",
            "a control of ugodit: a random encoder, never trained",
            "our own",
            ALL_TASKS,
            "the decoder, with input updates",
            ugodit.control,
            control_of="ugodit",
        ),
    ),
    Card(
        "edip",
        "Educated DIP: a network trained on random shapes, then TV-DIP (--weights)",
        "Barbano et al., IEEE TCI 2022",
        LINEAR_TASKS,
        "the network",
        edip.recipe,
        pretrained=True,
    ),
    Card(
        "metadip",
        "DIP from a meta-learned start (--weights)",
        "Zhang et al., arXiv 2209.08452",
        ALL_TASKS,
        "the network",
        metadip.recipe,
        pretrained=True,
    ),
    Card(
        "strainer",
        "a coordinate network whose first layers were learned (--weights)",
        "Vyas et al., NeurIPS 2024",
        ALL_TASKS,
        "the network",
        strainer.recipe,
        pretrained=True,
    ),
    Card(
        "nerp",
        "a coordinate network that knows an earlier image (--weights)",
        "Shen, Pauly, Xing, IEEE TNNLS 2022",
        ALL_TASKS,
        "the network",
        nerp.recipe,
        pretrained=True,
    ),
)

METHODS: dict[str, Card] = {card.name: card for card in _CARDS}
AUTO = "house"
"""What `auto` stands for on every task: the method our evidence supports."""


def find_recipe(card: Card, task: str, preset: str) -> Recipe:
    """The recipe of a network method.

    Raises:
        UserError: an unknown preset.
    """
    if preset not in PRESETS:
        raise UserError(f"unknown preset '{preset}'; known: {', '.join(PRESETS)}")
    if card.recipe is None:
        raise ValueError(f"'{card.name}' fits no network and has no recipe")
    return card.recipe(task, preset)


__all__ = [
    "AUTO",
    "DIP",
    "DOP",
    "DRP",
    "EDIP",
    "METHODS",
    "OES",
    "PRESETS",
    "SGLD",
    "TVDIP",
    "ASeqDIP",
    "Autoencoder",
    "Card",
    "ConvDecoderFit",
    "DeepDecoderFit",
    "DeepRED",
    "DoubleDIP",
    "House",
    "MetaDIP",
    "NeRP",
    "RefGuided",
    "Rethinking",
    "SelfGuided",
    "Strainer",
    "UGoDIT",
    "find_recipe",
]
