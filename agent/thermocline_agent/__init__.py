"""The agent: on each node, observe, plan, migrate, report."""
