"""Read a pre-trained network from a file: tensors only, and nothing in it is executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from untrained.errors import UserError
from untrained.files import existing_file, sha256
from untrained.priors.adm import build_adm, is_adm
from untrained.priors.base import Prior, Provenance
from untrained.priors.d5c5 import build_d5c5, is_d5c5
from untrained.priors.diffusers_folder import NAME as FOLDER
from untrained.priors.diffusers_folder import load_folder
from untrained.priors.dncnn import build_dncnn, is_dncnn
from untrained.priors.drunet import build_drunet, is_drunet
from untrained.priors.e2e import build_e2e, is_e2e
from untrained.priors.edm import build_edm, is_edm
from untrained.priors.edm_unets import build_admunet, build_ncsnpp, is_admunet, is_ncsnpp
from untrained.priors.hammernik import build_hammernik, is_hammernik
from untrained.priors.mnist import build_mnist, is_mnist
from untrained.priors.modl import build_modl, is_modl
from untrained.priors.scico import build_scico, is_scico
from untrained.priors.tensors import read_licence, read_tensors
from untrained.priors.unrolled import (
    build_own_modl,
    build_own_varnet,
    is_own_modl,
    is_own_varnet,
)


@dataclass(frozen=True)
class Architecture:
    """One layout of a file of weights.

    Attributes:
        title: one line.
        recognises: tells by the names and shapes of the tensors whether a file has this layout.
        build: makes the prior of them; raises UserError where they do not fit.
    """

    title: str
    recognises: Callable[[Mapping[str, Tensor]], bool]
    build: Callable[[Mapping[str, Tensor], Provenance], Prior]


ARCHITECTURES: dict[str, Architecture] = {
    "untrained-denoiser": Architecture("written by `pretrain denoiser`", is_edm, build_edm),
    "untrained-varnet": Architecture(
        "written by `pretrain varnet`", is_own_varnet, build_own_varnet
    ),
    "untrained-modl": Architecture("written by `pretrain modl`", is_own_modl, build_own_modl),
    "dncnn": Architecture("DnCNN as KAIR stores it", is_dncnn, build_dncnn),
    "scico": Architecture("DnCNN as SCICO stores it", is_scico, build_scico),
    "mnist": Architecture("DDPM of handwritten digits, 28 x 28", is_mnist, build_mnist),
    "drunet": Architecture("DRUNet (deepinv)", is_drunet, build_drunet),
    "adm": Architecture("ADM as guided diffusion names it (azula)", is_adm, build_adm),
    "admunet": Architecture("ADM as EDM names it (deepinv)", is_admunet, build_admunet),
    "ncsnpp": Architecture("NCSN++ and DDPM++ of EDM (deepinv)", is_ncsnpp, build_ncsnpp),
    "e2e": Architecture("end-to-end variational network (fastmri)", is_e2e, build_e2e),
    "hammernik": Architecture("variational network", is_hammernik, build_hammernik),
    "modl": Architecture("MoDL", is_modl, build_modl),
    "d5c5": Architecture("D5C5, a cascade for one coil", is_d5c5, build_d5c5),
}
"""What `--prior FILE:NAME` names; without a name the first that recognises the file is taken."""


BUILD_ERRORS = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What networks raise, ours and those of libraries, that are built with odd sizes."""


def split_name(text: str) -> tuple[str, str]:
    """Split FILE[:ARCH]; what follows the last colon counts only if it is a known architecture."""
    file, colon, name = text.rpartition(":")
    return (file, name) if colon and name in (*ARCHITECTURES, FOLDER) else (text, "")


def load_prior(path: str | Path) -> Prior:
    """Read a pre-trained network from `FILE`, `FILE:ARCHITECTURE` or a folder of diffusers.

    Raises:
        UserError: a missing or damaged file, one that holds code, or a layout that is unknown or
            not the one that was named.
    """
    name, named = split_name(str(path))
    if (Path(name) / "config.json").is_file() or (Path(name) / "unet").is_dir():
        if named not in ("", FOLDER):
            raise UserError(f"--prior: {name} is a folder of diffusers, and no {named}")
        try:
            return load_folder(Path(name))
        except UserError as error:
            raise UserError(f"--prior: {name}: {error}") from error
    file = existing_file(name, "--prior")
    try:
        return _built(file, named, read_tensors(file))
    except UserError as error:
        raise UserError(f"--prior: {file}: {error}") from error


def _built(file: Path, named: str, tensors: Mapping[str, Tensor]) -> Prior:
    """Build the prior of tensors, by the architecture that was named or else is recognised."""
    found = [name for name, one in ARCHITECTURES.items() if one.recognises(tensors)]
    if named and named not in found:
        looks = f"; it looks like {found[0]}" if found else ""
        raise UserError(f"it does not have the layout of {named}{looks}")
    if not found:
        first = ", ".join(list(tensors)[:3])
        raise UserError(
            f"its layout ({len(tensors)} tensors: {first}, ...) is none of "
            f"{', '.join(ARCHITECTURES)}"
        )
    name = named or found[0]
    provenance = Provenance(name, file.name, sha256(file), read_licence(file))
    try:
        return ARCHITECTURES[name].build(tensors, provenance)
    except UserError:
        raise
    except BUILD_ERRORS as error:
        # shapes that are odd enough show only where the network is built
        told = str(error).strip().splitlines()[:1]
        raise UserError(f"its tensors make no network of {name}: {''.join(told)}") from error
