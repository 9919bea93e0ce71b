"""Creation: what a hook of `manager.around_create` sees of a call of `create` or `create_many`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from steve.job import Job, NewJob


@dataclass(slots=True, eq=False)
class Creation:
    """One call of `create` or `create_many`, for the hooks around it."""

    jobs: tuple[NewJob, ...]
    """The jobs that the caller asked for, with the defaults of `create_many` filled in."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Empty at first. What a hook puts here is added to the metadata of each job, unless the job has that name already."""
    created: tuple[Job, ...] = ()
    """The jobs as they were stored, once they are."""

    def completed(self) -> list[NewJob]:
        """The jobs to store: with the metadata that the hooks have added."""
        if not self.metadata:
            return list(self.jobs)
        return [replace(job, metadata={**self.metadata, **(job.metadata or {})}) for job in self.jobs]
