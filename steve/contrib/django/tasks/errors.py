"""What the tasks' handlers raise: each ends the job at once, since another attempt would end in the same way."""

from __future__ import annotations


class TaskNotFound(ImportError):
    """For an hour no process that took the job could import its task."""


class NotATask(ImportError):
    """The job names something that can be imported and is no task. It is not called."""


class ReturnValueNotStorable(TypeError):
    """JSON cannot hold what the task returned. The work was done, so it is not done again."""


FINAL = (TaskNotFound, NotATask, ReturnValueNotStorable)
