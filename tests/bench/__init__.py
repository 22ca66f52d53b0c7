"""What Thermocline costs and what it is worth, as ratios: python3 -m tests.bench. See docs/benchmarks/."""
