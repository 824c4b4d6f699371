"""One producer and three consumers, twice: with a condition variable, and with a queue.

python docs/examples/producers.py threads
python docs/examples/producers.py processes
"""

import sys
from itertools import chain

from okazja import Executor

NUMBERS = 1000
CONSUMERS = 3
PLACES = 4  # how far the producer may be ahead
END = -1  # one for each consumer: there is nothing more to come


class Ring:
    """A few places in a ring: whoever finds no free place, or no number, waits on the condition."""

    def __init__(self, executor, places):
        self.numbers = executor.Array("q", places, lock=False)
        self.written = executor.Value("q", 0, lock=False)  # so far
        self.read = executor.Value("q", 0, lock=False)
        self.changed = executor.Condition()  # and its lock guards the three above

    def put(self, number):
        with self.changed:
            self.changed.wait_for(lambda: self.written.value - self.read.value < len(self.numbers))
            self.numbers[self.written.value % len(self.numbers)] = number
            self.written.value += 1
            self.changed.notify_all()

    def get(self):
        with self.changed:
            self.changed.wait_for(lambda: self.read.value < self.written.value)
            number = self.numbers[self.read.value % len(self.numbers)]
            self.read.value += 1
            self.changed.notify_all()
        return number


def produce(channel):
    for number in range(NUMBERS):
        channel.put(number)
    for _ in range(CONSUMERS):
        channel.put(END)


def consume(channel):
    """The numbers that this consumer got."""
    return list(iter(channel.get, END))


def main(backend):
    with Executor(backend, max_workers=1 + CONSUMERS) as executor:
        # A queue is such a ring, ready made. It also takes other things than numbers.
        for name, channel in (("ring", Ring(executor, PLACES)), ("queue", executor.Queue(PLACES))):
            consumers = [executor.submit(consume, channel) for _ in range(CONSUMERS)]
            executor.submit(produce, channel).result()
            shares = [consumer.result() for consumer in consumers]

            assert sorted(chain(*shares)) == list(range(NUMBERS))  # each number came to one of them, once
            print(f"{name} on {backend}:", *(len(share) for share in shares))


main(*sys.argv[1:])
