"""The operator with the minutes of its liveness made seconds: `python3 -m tests.cluster.impatient run …`.

Nothing else is another: what stalls it is what would stall it.
"""

from __future__ import annotations

import sys

from thermocline_operator import cli, loop, serve

LONGEST_SECONDS = 12.0

if __name__ == "__main__":
    # A loop that has nothing to do turns so often all the same, as it does within five minutes.
    vars(loop)["_IDLE_SECONDS"] = LONGEST_SECONDS / 4
    vars(serve)["LONGEST_SECONDS"] = LONGEST_SECONDS
    sys.exit(cli.main())
