"""What a K/V pair costs, what runs it well, how to launch it: memory model, capability table, planner, launch lines."""
