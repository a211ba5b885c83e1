"""One thread: small tensors gain nothing from more, and the bits depend on the count.

And Ctrl-C as it is at a terminal: a shell that starts the tests in the background has it ignored,
which the processes that they start would inherit.
"""

import signal

import torch

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)
