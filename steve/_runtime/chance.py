"""steve's own source of chance, for pauses and retries. Not the generator of the random module: an application may seed that,
and then its processes would retry in step, and we would use up numbers that it expects.
"""

import os
import random

chance = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=chance.seed)
