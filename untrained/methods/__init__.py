"""Every method by name; each file holds the class of one paper, its recipes and its `CARD`."""

# ruff: noqa: I001  one line a method: its card and its class

from __future__ import annotations

from untrained.methods.aseqdip import CARD as ASEQDIP_CARD, ASeqDIP
from untrained.methods.autoencoder import CARD as AUTOENCODER_CARD, Autoencoder
from untrained.methods.cascade import CARD as CASCADE_CARD, Cascade
from untrained.methods.card import Card, PRIOR, find_recipe
from untrained.methods.cddip import CARD as CDDIP_CARD, CDDIP
from untrained.methods.classical import CARDS as CLASSICAL
from untrained.methods.convdecoder import CARD as CONVDECODER_CARD, ConvDecoderFit
from untrained.methods.ddip import CARD as DDIP_CARD, DDIP
from untrained.methods.ddnm import CARD as DDNM_CARD, DDNM
from untrained.methods.dds import CARD as DDS_CARD, DDS
from untrained.methods.deepdecoder import CARD as DEEPDECODER_CARD, DeepDecoderFit
from untrained.methods.deepred import CARD as DEEPRED_CARD, DeepRED
from untrained.methods.diffpir import CARD as DIFFPIR_CARD, DiffPIR
from untrained.methods.dip import CARD as DIP_CARD, DIP
from untrained.methods.dop import CARD as DOP_CARD, DOP
from untrained.methods.doubledip import CARD as DOUBLEDIP_CARD, DoubleDIP
from untrained.methods.dps import CARD as DPS_CARD, DPS
from untrained.methods.drp import CARD as DRP_CARD, DRP
from untrained.methods.dvp import CARD as DVP_CARD, DVP
from untrained.methods.edip import CARD as EDIP_CARD, EDIP
from untrained.methods.fillin import CARD as FILLIN_CARD, FillIn
from untrained.methods.house import CARD as HOUSE_CARD, House
from untrained.methods.inr import CARD as INR_CARD, INR
from untrained.methods.mcg import CARD as MCG_CARD, MCG
from untrained.methods.metadip import CARD as METADIP_CARD, MetaDIP
from untrained.methods.modl import CARD as MODL_CARD, MoDL
from untrained.methods.nerp import CARD as NERP_CARD, NeRP
from untrained.methods.oes import CARD as OES_CARD, OES
from untrained.methods.pnp import CARD as PNP_CARD, PnP
from untrained.methods.presets import PRESETS
from untrained.methods.red import CARD as RED_CARD, RED
from untrained.methods.refguided import CARD as REFGUIDED_CARD, RefGuided
from untrained.methods.rethinking import CARD as RETHINKING_CARD, Rethinking
from untrained.methods.scoremri import CARD as SCOREMRI_CARD, ScoreMRI
from untrained.methods.selfdeblur import CARD as SELFDEBLUR_CARD, SelfDeblur
from untrained.methods.selfguided import CARD as SELFGUIDED_CARD, SelfGuided
from untrained.methods.sgld import CARD as SGLD_CARD, SGLD
from untrained.methods.sitcom import CARD as SITCOM_CARD, SITCOM
from untrained.methods.strainer import CARD as STRAINER_CARD, Strainer
from untrained.methods.tddip import CARD as TDDIP_CARD, TDDIP
from untrained.methods.tvdip import CARD as TVDIP_CARD, TVDIP
from untrained.methods.udig import CARD as UDIG_CARD, UDiGDIP
from untrained.methods.ugodit import CARD as UGODIT_CARD, UGoDIT
from untrained.methods.varnet import CARD as VARNET_CARD, VarNet

METHODS: dict[str, Card] = {
    card.name: card
    for card in (
        *CLASSICAL,
        DIP_CARD,
        TVDIP_CARD,
        ASEQDIP_CARD,
        SELFGUIDED_CARD,
        SELFDEBLUR_CARD,
        SGLD_CARD,
        RETHINKING_CARD,
        DEEPDECODER_CARD,
        CONVDECODER_CARD,
        OES_CARD,
        DOP_CARD,
        DRP_CARD,
        DOUBLEDIP_CARD,
        TDDIP_CARD,
        DVP_CARD,
        INR_CARD,
        HOUSE_CARD,
        FILLIN_CARD,
        DEEPRED_CARD,
        UDIG_CARD,
        DDIP_CARD,
        CDDIP_CARD,
        REFGUIDED_CARD,
        AUTOENCODER_CARD,
        UGODIT_CARD,
        EDIP_CARD,
        METADIP_CARD,
        STRAINER_CARD,
        NERP_CARD,
        VARNET_CARD,
        MODL_CARD,
        CASCADE_CARD,
        PNP_CARD,
        RED_CARD,
        DPS_CARD,
        MCG_CARD,
        SCOREMRI_CARD,
        DDNM_CARD,
        DDS_CARD,
        DIFFPIR_CARD,
        SITCOM_CARD,
    )
}

__all__ = [
    "CDDIP",
    "DDIP",
    "DDNM",
    "DDS",
    "DIP",
    "DOP",
    "DPS",
    "DRP",
    "DVP",
    "EDIP",
    "INR",
    "MCG",
    "METHODS",
    "OES",
    "PRESETS",
    "PRIOR",
    "RED",
    "SGLD",
    "SITCOM",
    "TDDIP",
    "TVDIP",
    "ASeqDIP",
    "Autoencoder",
    "Card",
    "Cascade",
    "ConvDecoderFit",
    "DeepDecoderFit",
    "DeepRED",
    "DiffPIR",
    "DoubleDIP",
    "FillIn",
    "House",
    "MetaDIP",
    "MoDL",
    "NeRP",
    "PnP",
    "RefGuided",
    "Rethinking",
    "ScoreMRI",
    "SelfDeblur",
    "SelfGuided",
    "Strainer",
    "UDiGDIP",
    "UGoDIT",
    "VarNet",
    "find_recipe",
]
