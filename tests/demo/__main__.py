"""`python3 -m tests.demo`."""

from tests.demo.cli import main

raise SystemExit(main())
