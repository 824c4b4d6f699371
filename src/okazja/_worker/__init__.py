"""What runs inside a worker: the one worker loop, and how a worker process starts and ends."""
