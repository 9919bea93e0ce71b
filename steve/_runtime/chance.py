"""steve's own source of random numbers, for pauses and retries.

It is not the generator of the random module, which an application may seed: then all its processes would retry in step, and
steve would use up numbers that the application expects.
"""

import os
import random

chance = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=chance.seed)
