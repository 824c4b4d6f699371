"""Decisions, pure: no threads, no input or output, and clocks are passed in."""
