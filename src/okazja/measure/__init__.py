"""What a piece of work costs: timers, samples and comparisons."""
