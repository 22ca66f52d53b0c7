"""Questions about what is installed in a cluster, one module each."""
