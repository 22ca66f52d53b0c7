"""`python3 -m thermocline_agent`, where no script is installed."""

import sys

from thermocline_agent.cli import main

sys.exit(main())
