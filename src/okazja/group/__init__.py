"""Structured concurrency: blocks that none of their tasks outlives."""

from okazja.group.group import Group

__all__ = ["Group"]
