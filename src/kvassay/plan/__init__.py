"""What fits: the memory model, the capability table, the planner and launch commands."""
