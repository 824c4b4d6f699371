"""What runs now: the tree of processes and threads, and the marks that workers leave."""
