"""Jobs in Django's admin: to look at, and to cancel, retry and reschedule. All changes go through the manager, which writes the
user's name into steve's table `audit`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpResponseRedirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from steve import Count, NotPossible, Status, SteveError
from steve.contrib.django import manager
from steve.contrib.django.models import Job

MOST = 5_000
"""So many rows the list shows, and so many jobs an action changes. To see more, filter."""

Change = Callable[[UUID], object]


class Bounded(Paginator):
    """Counts no further than MOST: PostgreSQL counts rows one by one, and there may be millions."""

    @cached_property
    def count(self) -> int:
        found = len(self.object_list.values_list("pk", flat=True)[: MOST + 1])
        return Count(min(found, MOST), found > MOST)


class LaneFilter(admin.SimpleListFilter):
    """By a column of which `stats()` knows the values, so that nobody reads the whole table for them."""

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        try:
            lanes = manager.stats(over=timedelta(days=30)).lanes
        except SteveError:
            lanes = ()
        names = {str(getattr(lane, self.parameter_name)) for lane in lanes}
        if self.value():
            names.add(self.value())
        return [(name, name) for name in sorted(names)]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: Any, queryset: Any) -> Any:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class StatusFilter(admin.SimpleListFilter):
    title = parameter_name = "status"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, status.value) for status in Status]

    def queryset(self, request: Any, queryset: Any) -> Any:
        return queryset.filter(status=self.value()) if self.value() else queryset


class QueueFilter(LaneFilter):
    title = parameter_name = "queue"


class TypeFilter(LaneFilter):
    title = parameter_name = "type"


class JobActionForm(ActionForm):
    run_at = forms.DateTimeField(required=False, label="at", help_text="for Reschedule")


class JobActions(admin.ModelAdmin):
    """What the admin changes, by actions on the list and by the buttons of a job's page."""

    actions = ("cancel_jobs", "retry_jobs", "reschedule_jobs")
    action_form = JobActionForm
    change_form_template = "admin/steve/job/change_form.html"

    @admin.action(description="Cancel", permissions=["change"])
    def cancel_jobs(self, request: Any, queryset: Any) -> None:
        self._change_all(request, queryset, "cancelled", manager.cancel)

    @admin.action(description="Retry now", permissions=["change"])
    def retry_jobs(self, request: Any, queryset: Any) -> None:
        self._change_all(request, queryset, "retried", manager.retry)

    @admin.action(description="Reschedule", permissions=["change"])
    def reschedule_jobs(self, request: Any, queryset: Any) -> None:
        if (run_at := self._run_at(request)) is not None:
            self._change_all(request, queryset, "rescheduled", lambda uid: manager.reschedule(uid, run_at=run_at))

    def response_change(self, request: Any, obj: Job) -> Any:
        """One of the buttons of a job's page."""
        run_at = self._run_at(request) if "_reschedule" in request.POST else None
        changes: dict[str, tuple[str, Change]] = {
            "_cancel": ("cancelled", manager.cancel),
            "_retry": ("retried", manager.retry),
        }
        if run_at is not None:
            changes["_reschedule"] = ("rescheduled", lambda uid: manager.reschedule(uid, run_at=run_at))
        for button, (done, change) in changes.items():
            if button in request.POST:
                self._change(request, [obj.uid], done, change)
        return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        """The form has nothing to save: its buttons call the manager."""

    def _change_all(self, request: Any, queryset: Any, done: str, change: Change) -> None:
        uids = list(queryset.values_list("pk", flat=True)[: MOST + 1])
        if len(uids) > MOST:
            self.message_user(request, f"At most {MOST:,} jobs at a time: the newest were changed.", messages.WARNING)
        self._change(request, uids[:MOST], done, change)

    def _change(self, request: Any, uids: Iterable[UUID], done: str, change: Change) -> None:
        changed, refused, gone = 0, [], 0
        with manager.acting_as(request.user.get_username()[:255] or "admin"):
            for uid in uids:
                try:
                    if change(uid) is None:
                        gone += 1
                    else:
                        changed += 1
                except NotPossible as error:
                    refused.append(str(error))
        if changed:
            self.message_user(request, f"{changed} {_jobs(changed)} {done}.", messages.SUCCESS)
        if refused:
            text = f"{len(refused)} {_jobs(len(refused))} not {done}; the first: {refused[0]}"
            self.message_user(request, text, messages.WARNING)
        if gone:
            self.message_user(request, f"{gone} {_jobs(gone)} gone.", messages.WARNING)

    def _run_at(self, request: Any) -> datetime | None:
        """None: it cannot be read, and the user is told so."""
        field = forms.DateTimeField(error_messages={"required": "Say when to run the jobs, as 2030-01-31 14:30."})
        try:
            return field.clean(request.POST.get("run_at", ""))  # type: ignore[no-any-return]
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
            return None


@admin.register(Job)
class JobAdmin(JobActions):
    list_display = ("uid", "type", "queue", "status", "attempts", "priority", "run_at", "created_at", "short_error")
    list_filter = (StatusFilter, QueueFilter, TypeFilter)
    search_fields = ("uid",)
    search_help_text = "the uid of a job, a type, or a tag as name=value"
    ordering = ("-uid",)
    sortable_by: ClassVar[Any] = ()  # no other order has an index
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = Bounded

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).defer("payload", "result", "metadata")

    def get_search_results(self, request: Any, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        name, equals, value = term.partition("=")
        if equals:
            return queryset.filter(tags__contains={name: value}), False
        try:
            return queryset.filter(uid=UUID(term)), False
        except ValueError:
            return queryset.filter(type=term), False

    @admin.display(description="error")
    def short_error(self, job: Job) -> str:
        text = (job.error or "").split("\n", 1)[0]
        return text if len(text) <= 80 else f"{text[:79]}…"

    @admin.display(description="attempts that have ended")
    def attempts_table(self, job: Job) -> Any:
        rows = (
            (one.number, one.status, one.process, _time(one.started_at), _time(one.completed_at), one.error_type or "",
             one.error_details or one.error_message or "")
            for one in manager.history(job.uid)
        )  # fmt: skip
        row = "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td><pre>{}</pre></td></tr>"
        head = mark_safe("<tr><th>#<th>status<th>process<th>began<th>ended<th>error<th>details</tr>")
        return format_html("<table>{}{}</table>", head, format_html_join("", row, rows))

    @admin.display(description="log")
    def log(self, job: Job) -> Any:
        lines = manager.logs(job.uid)
        return format_html("<pre>{}</pre>", "\n".join(map(str, lines)) if lines else "no lines are kept: see capture_logs")

    def get_readonly_fields(self, request: Any, obj: Any = None) -> list[str]:
        return [*(field.name for field in Job._meta.get_fields() if field.concrete), "attempts_table", "log"]

    def get_fields(self, request: Any, obj: Any = None) -> list[str]:
        return self.get_readonly_fields(request, obj)

    def has_add_permission(self, request: Any) -> bool:
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


def _jobs(count: int) -> str:
    return "job was" if count == 1 else "jobs were"


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
