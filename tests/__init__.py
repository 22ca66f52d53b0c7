"""Tests, and the lab that they run in. A package, so that `python3 -m tests.lab` works from the root."""
