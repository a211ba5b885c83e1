"""BibTeX of the papers behind methods and stop rules; the entries are in references.bib."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from untrained._version import versions

SOFTWARE = "untrained"
KEYS: dict[str, tuple[str, ...]] = {
    "adjoint": (),
    "fbp": ("kak1988",),
    "selfdeblur": ("ren2020selfdeblur",),
    "dvp": ("lei2020dvp",),
    "tddip": ("yoo2021tddip",),
    "fdk": ("feldkamp1984fdk",),
    "lps": ("otazo2015lps",),
    "temporaltv": ("feng2014temporaltv",),
    "mlem": ("richardson1972", "lucy1974", "shepp1982mlem"),
    "cgsense": ("pruessmann2001cgsense",),
    "tv": ("rudin1992tv", "chambolle2011"),
    "l1wavelet": ("lustig2007",),
    "dct": ("zhang2022dpir",),
    "lowrank": ("dong2014lowrank",),
    "nlbayes": ("lebrun2013nlbayes",),
    "linearised": ("adler2009greit",),
    "gaussnewton": ("vauhkonen1998",),
    "dip": ("ulyanov2018dip",),
    "tvdip": ("liu2019tvdip", "ulyanov2018dip"),
    "aseqdip": ("alkhouri2024aseqdip",),
    "selfguided": ("liang2025selfguided",),
    "sgld": ("cheng2019sgld",),
    "rethinking": ("jo2021rethinking",),
    "deepdecoder": ("heckel2019deepdecoder",),
    "convdecoder": ("darestani2021convdecoder",),
    "oes": ("ghosh2024oes",),
    "dop": ("you2020dop",),
    "drp": ("li2023drp",),
    "doubledip": ("zhuang2023doubledip",),
    "inr": ("sitzmann2020siren", "saragadam2023wire"),
    "house": ("ulyanov2018dip",),
    "fillin": ("quan2020self2self",),
    "deepred": ("mataev2019deepred", "romano2017red"),
    "udig": ("liang2025udig", "alkhouri2024aseqdip"),
    "ddip": ("chung2024ddip",),
    "cddip": ("goyes2024cddip",),
    "refguided": ("zhao2020refguided",),
    "autoencoder": ("alkhouri2024aseqdip",),
    "ugodit": ("liang2025ugodit",),
    "edip": ("barbano2022edip",),
    "metadip": ("zhang2022metadip",),
    "strainer": ("vyas2024strainer",),
    "nerp": ("shen2022nerp",),
    "varnet": ("hammernik2018varnet", "sriram2020e2e"),
    "modl": ("aggarwal2019modl",),
    "cascade": ("schlemper2018cascade",),
    "pnp": ("zhang2022dpir",),
    "red": ("romano2017red",),
    "dps": ("chung2023dps",),
    "mcg": ("chung2022mcg",),
    "scoremri": ("chung2022scoremri",),
    "ddnm": ("wang2023ddnm",),
    "dds": ("chung2024dds",),
    "diffpir": ("zhu2023diffpir",),
    "sitcom": ("alkhouri2025sitcom",),
    "wmv": ("wang2023esdip",),
    "emv": ("wang2023esdip",),
}
"""Method or stop rule -> the papers to cite, by their key in references.bib."""

ENTRY = re.compile(r"^@\w+\{([^,]+),.*?^\}\n", re.DOTALL | re.MULTILINE)


@cache
def entries() -> dict[str, str]:
    """Read the bibliography: key -> BibTeX entry."""
    text = Path(__file__).with_name("references.bib").read_text(encoding="utf-8")
    text = text.replace("VERSION", versions()["untrained"])
    return {found[1]: found[0] for found in ENTRY.finditer(text)}


def bibtex(names: Iterable[str]) -> str:
    """Return the BibTeX entries of methods and stop rules, each once, and of this program.

    Args:
        names: as on the command line; a name without a paper adds nothing.
    """
    keys = [key for name in names for key in KEYS.get(name, ())]
    known = entries()
    return "\n".join(known[key] for key in dict.fromkeys([*keys, SOFTWARE]))
