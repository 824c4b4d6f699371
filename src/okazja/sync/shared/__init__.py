"""Primitives for worker processes."""
