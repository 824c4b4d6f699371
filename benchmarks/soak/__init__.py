"""okazja under fire, for minutes or hours: ``python -m benchmarks.soak --minutes 10``.

Streams, maps and submits of mixed items, some of which crash, hang or can't travel, while workers are killed and
stopped from outside. At the end every item must have been reported once, every value must be right, and
descriptors, threads, processes and memory must be back where they were. Exit status 1 if anything is off.

    items.py       what workers run, and what must come of it
    ledger.py      who was reported, and whether it was right
    vandal.py      kills and stops workers
    rounds.py      executors at work, until the time is up
    resources.py   what a process holds
    run.py         the command line, the watch over all of it, and the verdict
"""
