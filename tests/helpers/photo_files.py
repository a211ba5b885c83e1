"""The pixels of a small picture that files of photographs are made of."""

import numpy as np

PIXELS = np.random.default_rng(3).integers(0, 256, (24, 32, 3)).astype(np.uint8)
