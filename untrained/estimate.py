"""How much memory and time a run will take, found without running it.

Memory: the network is traced on torch's `meta` device, which computes nothing and counts exactly
what the backward pass has to keep. Time: two real steps at full size are taken and timed where
the memory allows, else the traced number of operations is divided by a measured rate.
"""
