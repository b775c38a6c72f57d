"""Python's garbage collector, told what it need not look at.

What a server is made of lives as long as it does, and its requests leave few cycles behind. By
default the collector walks through all of it again and again: a sixth of the time of a request,
and most of what makes one of a hundred slow.
"""

import gc

# New objects until the youngest are looked at, and how many looks until the next generation's.
# The oldest must have their turn too: each connection that ends leaves a cycle among them.
_THRESHOLDS = (20_000, 10, 5)


def freeze_gc() -> None:
    """Leave alone what was made so far, and look seldom at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
