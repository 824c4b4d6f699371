"""The journal: outcomes on disk as they come, so that a run that was cut short goes on where it was.

No backend knows of it. `Recorder` is what a stream has of it, `Resuming` what the stream draws its items from, and
`Journal` reads it, from anywhere and at any time.
"""

from okazja.journal.naming import name_of
from okazja.journal.reader import Entry, Journal, Pickled, Status, outcomes_in
from okazja.journal.recorder import Recorder
from okazja.journal.resuming import Resuming

__all__ = ["Entry", "Journal", "Pickled", "Recorder", "Resuming", "Status", "name_of", "outcomes_in"]
