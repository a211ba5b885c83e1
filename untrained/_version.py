"""The version of the package, and those that the bits of a result depend on."""

import platform
import sys

__version__ = "1.0.0rc1"


def versions() -> dict[str, str]:
    """Return the versions that the bits of a result depend on."""
    import torch  # whoever asks has loaded it; the version alone needs nothing

    return {
        "untrained": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
    }
