"""What the agent's command line can do, a module a command."""
