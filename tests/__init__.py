"""Tests, and the lab that they run in. A package, so that `python3 -m tests.lab` works from the root."""

import sys

# Here, for nothing of this folder is read before this; and in words that an old Python understands, too.
if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older one shall be told, not shown where it stumbles
    sys.stderr.write(
        "Python 3.11 or newer is needed, and this is %d.%d: name one by `make PYTHON=python3.11 TARGET`, "  # noqa: UP031
        "or run it in a container of Debian 12 or 13\n" % sys.version_info[:2]
    )
    sys.exit(2)
