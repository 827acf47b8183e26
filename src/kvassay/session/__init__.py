"""The agent's session that fills the context: a coding agent at work over real sources, seeded."""
