"""What the control plane costs: the operator against a real API server and etcd, with agents that are played."""
