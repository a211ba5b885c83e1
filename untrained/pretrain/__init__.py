"""What is learned before a reconstruction: from a few degraded images, clean ones, or phantoms."""

from __future__ import annotations

from untrained.pretrain.train import TRAINABLE, clean_problem, find_trainable, train
from untrained.pretrain.weights import Weights, load_weights

__all__ = [
    "TRAINABLE",
    "Weights",
    "clean_problem",
    "find_trainable",
    "load_weights",
    "train",
]
