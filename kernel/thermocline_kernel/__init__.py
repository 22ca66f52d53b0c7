"""What the kernel offers, one module per interface. Raw bytes and numbers go in and out of here only."""
