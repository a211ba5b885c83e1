"""Optimisers that `torch.optim` lacks and untrained networks gain from."""

from __future__ import annotations

from untrained.optim.muon import Muon

__all__ = ["Muon"]
