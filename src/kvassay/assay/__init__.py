"""The experiment: design, schedule, runner, store."""
