"""Live traffic between an agent and its server: what is asked, what comes back, and what is wrong with it."""
