"""Questions about the agent, one module each."""
