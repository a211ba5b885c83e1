"""One thread: small tensors gain nothing from more, and the bits depend on the count."""

import torch

torch.set_num_threads(1)
