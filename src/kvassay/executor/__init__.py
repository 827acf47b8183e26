"""Executors: where a run's boots take place. `local` needs nothing; `ray` needs the extra of that name."""
