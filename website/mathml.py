"""Write formulas as MathML, which browsers draw themselves: no script and no network is needed.

`math-core` converts the TeX. A command that it does not know is a warning, and so fails the build.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging

CONVERTER = LatexToMathML()


def mathml(tex: str, block: bool) -> str:
    r"""Return a `<math>` element; TeX with `\\` but without an environment is aligned at `&`.

    Raises:
        LatexError: the TeX has a command that is not known.
    """
    if block and r"\\" in tex and r"\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    return str(CONVERTER.convert_with_local_state(tex, displaystyle=block))


def _shown(node: nodes.Element, block: bool) -> str:
    tex = node.astext()
    try:
        return mathml(tex, block)
    except LatexError as error:
        reason = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip().partition("\n")[0]  # no colours
        logging.getLogger(__name__).warning("formula %r: %s", tex, reason, location=node)
        return ""


def visit_inline(translator: Any, node: nodes.Element) -> None:
    """Write a formula inside a sentence."""
    translator.body.append(_shown(node, block=False))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.Element) -> None:
    """Write a formula on a line of its own, in a box that scrolls if the window is narrow."""
    translator.body.append(f'<div class="formula">{_shown(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer that `html_math_renderer` names."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
