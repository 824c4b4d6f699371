"""okazja side by side with its peers: ``python -m benchmarks [ROW ...]``, from the root of the repository.

    run.py      rounds → cells, each a process of its own → medians and ratios → report.py
    cell.py     one measurement: a row with a peer
    rows.py     what is measured, each row a function and its goal
    peers.py    the pools that are compared, behind one small face
    tasks.py    what the workers run

Only ratios within one run mean anything: the cells of a round follow each other closely, and each peer is compared
with okazja round by round, so that a machine that drifts does not favour anybody. Nothing else should run meanwhile.
"""
