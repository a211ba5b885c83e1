"""One table: a small, short recipe of every network method, and how it is run."""

from dataclasses import replace
from functools import cache

import torch
from small_priors import small_prior
from torch import Tensor
from weight_files import APPLIED, trained

from untrained import METHODS, Problem, nets
from untrained import methods as m
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.start import LOG_RATE, StartWeights
from untrained.methods.card import PRETRAINED, PRIOR
from untrained.nets import initialise
from untrained.priors import GaussianDenoiser
from untrained.result import Result
from untrained.solver.procedure import solve_recipe

SMALL = nets.Compact(widths=(4, 6, 8), skip=2)
ADAM = Engine("adam", lr=0.01, precision="fp32")


def small(method: Method, net: object = SMALL, engine: Engine = ADAM) -> Recipe:
    return Recipe(method=method, net=net, engine=engine)  # type: ignore[arg-type]


def frozen(method: Method, engine: Engine | None = None) -> Recipe:
    """No network of its own."""
    return small(method, nets.NoNet(), engine or Engine("none", precision="fp32"))


TABLE: dict[str, Recipe] = {
    "aseqdip": small(m.ASeqDIP(6)),
    "autoencoder": small(m.Autoencoder(12, training=5)),
    "cascade": small(m.Cascade(12), nets.NoNet(), Engine("none", precision="fp32")),
    "cddip": small(m.CDDIP(4, inner=3), engine=Engine("adamw", lr=0.01, precision="fp32")),
    "convdecoder": small(m.ConvDecoderFit(12, channels=6), nets.ConvDecoder(6, depth=3, start=4)),
    "ddip": small(
        m.DDIP(4, inner=3, rank=2), nets.NoNet(), Engine("adamw", lr=1e-3, precision="fp32")
    ),
    "ddnm": frozen(m.DDNM(12, travel=2, stretch=3)),
    "dds": frozen(m.DDS(12)),
    "deepdecoder": small(m.DeepDecoderFit(12, channels=6), nets.DeepDecoder(6, depth=2)),
    "deepred": small(m.DeepRED(4, inner=3, denoiser="tv")),
    "diffpir": frozen(m.DiffPIR(12)),
    "dip": small(m.DIP(12, walk=0.02)),
    "dop": small(m.DOP(12, first=1e-2), engine=Engine("sgd", lr=0.5, precision="fp32")),
    "doubledip": small(m.DoubleDIP(12)),
    "dps": frozen(m.DPS(12, zeta=3.0)),
    "drp": small(m.DRP(12, walk=1e-3), nets.SkipNet(down=(6,), up=(6,), skip=(2,), sigmoid=False)),
    "tddip": small(m.TDDIP(12, frames=2), nets.TimeNet(6, 2, 8)),
    "dvp": small(m.DVP(12, irt=True), nets.VCN(4, 2)),
    "edip": small(m.EDIP(12)),
    "fillin": small(m.FillIn(12)),
    "house": small(m.House(12)),
    "inr": small(m.INR(12), nets.Siren(8, 2, omega=10.0, features=4)),
    "mcg": frozen(m.MCG(12)),
    "metadip": small(m.MetaDIP(12), engine=Engine("sgd", lr=1.0, precision="fp32")),
    "modl": small(m.MoDL(12), nets.NoNet(), Engine("none", precision="fp32")),
    "nerp": small(m.NeRP(12), nets.Siren(8, 2, features=4)),
    "oes": small(m.OES(12, search=5, keep=0.8)),
    "pnp": frozen(m.PnP(12)),
    "red": frozen(m.RED(12)),
    "refguided": small(m.RefGuided(12)),
    "rethinking": small(m.Rethinking(12), nets.S2SNet(4, 6, (6, 4), depth=2)),
    "scoremri": frozen(m.ScoreMRI(12)),
    "selfdeblur": small(m.SelfDeblur(12, switch=0.5, hidden=5, noise=4, kernel_rate=1.0)),
    "selfguided": small(m.SelfGuided(12, rate=10.0)),
    "sgld": small(m.SGLD(12, noise=0.1)),
    "sitcom": frozen(m.SITCOM(4, 3), Engine("adam", lr=0.3, precision="fp32")),
    "strainer": small(m.Strainer(12), nets.Siren(8, 2)),
    "tvdip": small(m.TVDIP(12)),
    "udig": small(m.UDiGDIP(6)),
    "ugodit": small(m.UGoDIT(6)),
    "varnet": small(m.VarNet(12), nets.NoNet(), Engine("none", precision="fp32")),
}
NAMES = sorted(TABLE)


def learned(name: str, problem: Problem) -> dict[str, Tensor]:
    """Draw the weights that a training would save: an encoder's, or those of the whole network."""
    if not METHODS[name].pretrained:
        return {}
    module = TABLE[name].build(problem)
    initialise(module, 77)
    whole = {n: w.detach() for n, w in module.named_parameters()}
    if name == "metadip":
        rates = {LOG_RATE + n.rpartition(".")[0]: torch.tensor(0.1 + 0.01 * len(n)) for n in whole}
        return whole | {n: rate.log() for n, rate in rates.items()}
    part = name in ("strainer", "ugodit")
    return {n: w for n, w in whole.items() if n.startswith("encoder.") or not part}


@cache
def gaussian(shape: tuple[int, ...]) -> GaussianDenoiser:
    """The exact prior of smooth images."""
    axes = torch.meshgrid(*(torch.arange(n) for n in shape[1:]), indexing="ij")
    places = torch.stack([a.flatten() for a in axes], 1).float()
    covariance = torch.exp(-torch.cdist(places, places).square() / 50)
    return GaussianDenoiser(torch.zeros(shape), torch.block_diag(*[covariance] * shape[0]))


def start_for(name: str, problem: Problem) -> StartWeights:
    start = StartWeights.from_tensors(learned(name, problem))
    if name in APPLIED:
        return replace(start, prior=trained(APPLIED[name]))
    if METHODS[name].needs != PRIOR:
        return start
    exact = METHODS[name].family == PRETRAINED
    return replace(start, prior=gaussian(problem.x_shape) if exact else small_prior())


def run(name: str, problem: Problem, **options: object) -> Result:
    start = start_for(name, problem)
    return solve_recipe(TABLE[name], problem, start=start, **options)  # type: ignore[arg-type]
