"""python3 -m tests.bench.placement"""

import sys

from tests.bench.placement.cli import main

if __name__ == "__main__":
    sys.exit(main())
