"""Questions about the kernel's part, one module each; the measuring programs are in tests/bench/programs."""
