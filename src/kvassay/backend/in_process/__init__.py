"""What the engines in kvassay's own process share: the boot, its words, its answers. Each brings model and cache."""
