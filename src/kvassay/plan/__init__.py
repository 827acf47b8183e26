"""What fits and what runs: memory model, capability table, planner, launch commands."""
