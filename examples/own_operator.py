"""Your own operator: a single-pixel camera sees sums of pixels under random patterns.
`untrained check-operator examples/own_operator.py:SinglePixelCamera` takes it from here too.
"""

import torch
from skimage.data import camera
from torch import Tensor, nn

import untrained as ut

SIDE, SHARE, STEPS = 32, 0.4, 200


class SinglePixelCamera(nn.Module):
    """y_k = <pattern_k, x>: `(B, 1, SIDE, SIDE)` -> `(B, patterns)`; the adjoint is derived."""

    def __init__(self) -> None:
        super().__init__()
        self.x_shape = (1, SIDE, SIDE)
        shape = (round(SHARE * SIDE**2), SIDE**2)
        signs = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(0))
        self.register_buffer("patterns", (2.0 * signs - 1) / SIDE)  # a buffer moves to a GPU

    def A(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.patterns.T


def main() -> ut.Result:
    """Check the operator, measure a picture, reconstruct it."""
    physics = SinglePixelCamera()
    print(ut.physics.check_operator(physics))
    rows, columns = slice(64, 64 + 8 * SIDE, 8), slice(128, 128 + 8 * SIDE, 8)
    clean = torch.tensor(camera()[None, None, rows, columns] / 255.0).float()
    result = ut.reconstruct(physics.A(clean), physics, steps=STEPS, truth=clean)
    print(result.about.metrics, result.about.classical_metrics)
    return result


if __name__ == "__main__":
    main()
