"""Ready jobs: work that comes with okazja, to try it out, to measure and to teach with."""

from okazja.jobs._job import Job
from okazja.jobs._registry import find_job, job_names

__all__ = ["Job", "find_job", "job_names"]
