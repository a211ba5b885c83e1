"""What is learned before a reconstruction: from a few degraded images, clean ones, or phantoms."""

from __future__ import annotations

from untrained.pretrain.train import LESSONS, Lesson, clean_problem, find_lesson, train
from untrained.pretrain.weights import Weights, load_weights

__all__ = [
    "LESSONS",
    "Lesson",
    "Weights",
    "clean_problem",
    "find_lesson",
    "load_weights",
    "train",
]
