"""Placement on a real kernel: programs whose accesses are known, and everybody who can move their pages."""
