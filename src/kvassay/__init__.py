"""kvassay measures whether KV-cache precision breaks a coding agent's tool calls."""
