"""The clock that TTLs are counted by: it runs while the machine sleeps."""

from __future__ import annotations

import sys
import time

if sys.platform == "linux":

    def now() -> float:
        """Returns the seconds since the machine was started, sleep included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

elif sys.platform == "darwin":

    def now() -> float:
        """Returns the seconds of a clock that does not stop during sleep on this system."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

else:
    _BEGUN = (time.monotonic(), time.time())

    def now() -> float:
        """Returns the seconds since the program was started, by the clock that has run further.

        If the monotonic clock stops during sleep, the wall clock does not; if the wall clock is set
        back, the monotonic clock is not.
        """
        return max(time.monotonic() - _BEGUN[0], time.time() - _BEGUN[1])
