"""Progress of a map or a stream, shown where it fits: a terminal, a notebook, a log, or a function of the user's."""

from okazja.progress.counts import Progress
from okazja.progress.views import progress_for

__all__ = ["Progress", "progress_for"]
