"""List the classical methods, which fit no network; see `untrained.classical`."""

from __future__ import annotations

from untrained.methods.card import CLASSICAL, Card
from untrained.tasks import JACOBIAN_TASKS, LINEAR_TASKS, SERIES_TASKS

CARDS = (
    Card(
        "adjoint",
        "A^H y with the scalar that fits y best",
        "textbook",
        CLASSICAL,
        LINEAR_TASKS,
        "nothing",
    ),
    Card(
        "fbp",
        "filtered backprojection",
        "Kak & Slaney 1988",
        CLASSICAL,
        ("ct",),
        "nothing",
    ),
    Card(
        "fdk",
        "filtered backprojection of a circular cone beam",
        "Feldkamp, Davis, Kress, JOSA A 1984",
        CLASSICAL,
        ("ct",),
        "nothing",
    ),
    Card(
        "cgsense",
        "conjugate gradients on the normal equations",
        "Pruessmann et al., MRM 2001",
        CLASSICAL,
        LINEAR_TASKS,
        "the image",
    ),
    Card(
        "tv",
        "total variation by a primal-dual solver, weight chosen from the measurements",
        "Rudin, Osher, Fatemi 1992; Chambolle & Pock 2011",
        CLASSICAL,
        (*LINEAR_TASKS, *JACOBIAN_TASKS),
        "the image",
    ),
    Card(
        "l1wavelet",
        "l1-wavelet compressed sensing (SigPy)",
        "Lustig, Donoho, Pauly, MRM 2007",
        CLASSICAL,
        LINEAR_TASKS,
        "the image",
    ),
    Card(
        "dct",
        "sliding cosine transforms as a plug-and-play prior, strength chosen from the measurements",
        "Yaroslavsky 1996; Zhang et al., TPAMI 2022",
        CLASSICAL,
        LINEAR_TASKS,
        "the image",
    ),
    Card(
        "lowrank",
        "groups of similar blocks, brought to low rank, as a plug-and-play prior",
        "Dong et al., TIP 2014; Gavish & Donoho 2017",
        CLASSICAL,
        ("inpaint", "mri", "ct", "cs", "custom"),
        "the image",
    ),
    Card(
        "nlbayes",
        "non-local Bayes as a plug-and-play prior: similar blocks are one normal distribution",
        "Lebrun, Buades, Morel, SIAM J. Imaging Sci. 2013",
        CLASSICAL,
        LINEAR_TASKS,
        "the image",
    ),
    Card(
        "lps",
        "low rank plus sparse (L+S) of a time series: what stays, and what moves",
        "Otazo, Candes, Sodickson, MRM 2015",
        CLASSICAL,
        SERIES_TASKS,
        "the image",
    ),
    Card(
        "temporaltv",
        "total variation of a time series along time",
        "Feng et al., MRM 2014",
        CLASSICAL,
        SERIES_TASKS,
        "the image",
    ),
    Card(
        "linearised",
        "one linearised step with a smoothness prior, as GREIT takes it",
        "Adler et al., Physiol. Meas. 2009",
        CLASSICAL,
        JACOBIAN_TASKS,
        "the image",
    ),
    Card(
        "gaussnewton",
        "Gauss-Newton with a smoothness prior, weight chosen from the measurements",
        "Vauhkonen et al., IEEE Trans. Med. Imaging 1998",
        CLASSICAL,
        JACOBIAN_TASKS,
        "the image",
    ),
)
