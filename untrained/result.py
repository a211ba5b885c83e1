"""A result: what was fitted, what it is about, and how to save it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from untrained.about import About
from untrained.core.rule import Stopped
from untrained.report import notebook_html, plot_result, save_result
from untrained.solver.fit import Fit
from untrained.uncertainty.summary import Uncertainty

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Result(Fit):
    """A reconstruction: a fit, or a classical answer, and what it is about.

    Attributes:
        about: what the report tells beside the fit's own facts.
    """

    about: About = field(default_factory=About)

    @classmethod
    def of(cls, fit: Fit, about: About) -> Result:
        """Make a result from a fit and the facts about it."""
        return cls(**{**vars(fit), "about": about})

    @property
    def notes(self) -> tuple[str, ...]:
        """Decisions made on the user's behalf, and doubts about the input, a sentence each."""
        return self.about.notes

    @property
    def uncertainty(self) -> Uncertainty | None:
        """How the error bar was found and checked; None where none was asked for."""
        return self.about.uncertainty

    @property
    def lower(self) -> Tensor | None:
        """Lower bound of the interval of every entry, `(G, C, ...)`; None without an error bar."""
        return None if self.about.half is None else self.image - self.about.half

    @property
    def upper(self) -> Tensor | None:
        """Upper bound of the interval of every entry, `(G, C, ...)`; None without an error bar."""
        return None if self.about.half is None else self.image + self.about.half

    def with_notes(self, notes: Iterable[str]) -> Result:
        """Return the result with these notes instead of its own, each once."""
        return self.with_about(replace(self.about, notes=tuple(dict.fromkeys(notes))))

    def with_about(self, about: About) -> Result:
        """Return the result with other facts about it."""
        return replace(self, about=about)

    def __repr__(self) -> str:
        """Return one line: what was run and how it ended, with the sizes of the arrays."""
        stop = self.stop[0] if self.stop else Stopped("", 0, "")
        parts = [
            f"method={self.about.method!r}, task={self.about.task!r}",
            f"image={tuple(self.image.shape)}, steps={self.steps}, seconds={self.seconds:.1f}",
            f"stop={stop.rule!r} at step {stop.step}",
        ]
        if self.std is not None:
            parts.append("std")
        if self.about.metrics:
            parts.append(f"psnr={self.about.metrics['psnr']:.2f}")
        if not self.finished:
            parts.append("unfinished")
        return f"Result({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Return the pictures and measures as HTML, which a notebook shows."""
        return notebook_html(self, self.about)

    def plot(self) -> Figure:
        """Draw the images, their error maps and the curves as a matplotlib figure.

        The figure does not depend on pyplot: `result.plot().savefig("result.png")`.
        """
        return plot_result(self, self.about)

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write the result directory: arrays, pictures, history, report, and `result.json` last.

        Args:
            directory: where to; made if missing.
            overwrite: replace a finished result of this program that is there.

        Raises:
            UserError: the directory holds a finished result and `overwrite` is False, or files by
                these names that this program did not write, or cannot be written.
        """
        return save_result(self, self.about, directory, overwrite=overwrite)
