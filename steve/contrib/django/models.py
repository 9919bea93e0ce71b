"""Jobs and their attempts as models of Django, to look at: for filters, joins and the admin. Only the manager changes jobs, so
whatever would write raises TypeError."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from django.db import models

from steve.contrib.django._managers import alias_of_jobs
from steve.contrib.django._tables import table


def _refuse(what: str) -> Any:
    def refuse(*args: object, **options: object) -> NoReturn:
        raise TypeError(f"{what}() cannot change jobs: call the manager (from steve.contrib.django import manager)")

    refuse.alters_data = True  # type: ignore[attr-defined]  # so that no template calls it
    return refuse


class ReadOnly(models.QuerySet):
    """Reads. What QuerySet has to write with raises TypeError."""

    create = _refuse("create")
    bulk_create = _refuse("bulk_create")
    bulk_update = _refuse("bulk_update")
    get_or_create = _refuse("get_or_create")
    update_or_create = _refuse("update_or_create")
    update = _refuse("update")
    delete = _refuse("delete")


class JobsManager(models.Manager.from_queryset(ReadOnly)):  # type: ignore[misc]
    """Reads where the jobs are, unless `using` says otherwise."""

    def get_queryset(self) -> Any:
        return self._queryset_class(model=self.model, using=self._db or alias_of_jobs(), hints=self._hints)


class Job(models.Model):
    """A job, as its row has it. `steve.Job` is what the manager returns."""

    uid = models.UUIDField(primary_key=True, editable=False)
    queue = models.CharField(max_length=255)
    type = models.CharField(max_length=255)
    priority = models.SmallIntegerField()
    payload = models.JSONField()
    result = models.JSONField(null=True)
    error = models.TextField(null=True)
    status = models.CharField(max_length=255)
    attempts = models.IntegerField()
    crashes = models.SmallIntegerField()
    max_attempts = models.IntegerField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    run_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    unique = models.CharField(max_length=255, null=True, db_column="unique_key")
    tags = models.JSONField(null=True)
    metadata = models.JSONField(null=True)
    timeout = models.FloatField(null=True)
    expires_at = models.DateTimeField(null=True)
    cancel_asked_at = models.DateTimeField(null=True)

    objects = JobsManager()
    save = _refuse("save")
    save_base = _refuse("save_base")
    delete = _refuse("delete")

    class Meta:
        managed = False
        base_manager_name = "objects"
        db_table = table("job")
        default_permissions: ClassVar = ("view", "change")  # "change": cancel, retry and reschedule in the admin

    def __str__(self) -> str:
        return f"{self.type} {self.uid}"


class Attempt(models.Model):
    """An attempt that has ended. The single attempt of a job that succeeded at once has no row here: `manager.history(job)`
    has all."""

    pk = models.CompositePrimaryKey("job", "lease_no")
    job = models.ForeignKey(Job, models.DO_NOTHING, db_column="job_uid", db_constraint=False, related_name="attempt_set")
    lease_no = models.BigIntegerField()
    number = models.IntegerField()
    process = models.TextField()
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField()
    status = models.TextField()
    error_type = models.TextField(null=True)
    error_message = models.TextField(null=True)
    error_details = models.TextField(null=True)

    objects = JobsManager()
    save = _refuse("save")
    save_base = _refuse("save_base")
    delete = _refuse("delete")

    class Meta:
        managed = False
        base_manager_name = "objects"
        db_table = table("attempt")
        default_permissions: ClassVar = ("view",)

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"
