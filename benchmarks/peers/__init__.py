"""The pools that are compared.

Every peer is used with its defaults, as its documentation shows it, but for what its name says.

    pool.py       the face: Peer, Pool
    standard.py   okazja, the standard library, the limits of the machine
    sync.py       locks, queues and values of the standard library
    packages.py   pools of other packages
    clusters.py   schedulers of clusters
    loops.py      event loops
"""

from __future__ import annotations

from benchmarks.peers.clusters import CLUSTERS
from benchmarks.peers.loops import LOOPS
from benchmarks.peers.packages import PACKAGES
from benchmarks.peers.pool import Peer, Pool
from benchmarks.peers.standard import LIMITS, OKAZJA, STANDARD
from benchmarks.peers.sync import SYNC

__all__ = ["PEERS", "Peer", "Pool"]

PEERS = {peer.name: peer for peer in (*OKAZJA, *LIMITS, *STANDARD, *SYNC, *PACKAGES, *CLUSTERS, *LOOPS)}
