"""python3 -m tests.bench"""

import importlib.util
import shlex
import sys

if importlib.util.find_spec("matplotlib") is None:
    again = shlex.join(["python3", "-m", "tests.bench", *sys.argv[1:]])
    print(
        f"this wants packages of the project's environment: python3 -m tests.environment run {again}",
        file=sys.stderr,
    )
    sys.exit(2)

from tests.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
