"""`python3 -m thermocline_operator`, where no script is installed."""

import sys

from thermocline_operator.cli import main

sys.exit(main())
