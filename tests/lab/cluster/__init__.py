"""A real Kubernetes whose nodes are the lab's machines."""
