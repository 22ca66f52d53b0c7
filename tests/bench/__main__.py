"""python3 -m tests.bench"""

import importlib.util
import os
import sys

if importlib.util.find_spec("matplotlib") is None:
    if sys.prefix != sys.base_prefix:
        print("this environment lacks packages: use python3 -m tests.environment run", file=sys.stderr)
        sys.exit(2)
    # Once more, in the project's environment, which is made when it is missing.
    again = ["-m", "tests.environment", "run", "python3", "-m", "tests.bench", *sys.argv[1:]]
    os.execv(sys.executable, [sys.executable, *again])

from tests.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
