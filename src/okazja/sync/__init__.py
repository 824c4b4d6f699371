"""Locks, semaphores and their like: the same names on every backend, one package for each way to share."""
