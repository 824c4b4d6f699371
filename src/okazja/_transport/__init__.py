"""How calls and results travel: pickling, framed sockets, shared memory."""
