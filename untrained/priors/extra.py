"""Import the libraries whose architectures are used here, and copied nowhere."""

from __future__ import annotations

import importlib
from typing import Any

from untrained.errors import UserError


def library(module: str, extra: str = "priors") -> Any:
    """Import a module of an optional library.

    Args:
        module: its full name.
        extra: of this package, that installs it.

    Raises:
        UserError: it is not installed, or fails at its own import; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        top = module.partition(".")[0]
        told = str(error).strip().splitlines()[:1]
        raise UserError(
            f"its network is built by the package {top}, which cannot be imported "
            f"({''.join(told)}): pip install untrained[{extra}]"
        ) from error
