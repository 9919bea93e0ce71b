"""The first of steve's migrations, and what Django knows of the tables. Each expand migration of steve's has a file here."""

from django.db import migrations, models

from steve.contrib.django._schema import Apply
from steve.contrib.django._tables import table


class Migration(migrations.Migration):
    initial = True
    operations = [  # noqa: RUF012 - as Django has it
        Apply("0001_expand_job_attempt_process"),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "job", "lease_no", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("lease_no", models.BigIntegerField()),
                ("number", models.IntegerField()),
                ("process", models.TextField()),
                ("started_at", models.DateTimeField()),
                ("completed_at", models.DateTimeField()),
                ("status", models.TextField()),
                ("error_type", models.TextField(null=True)),
                ("error_message", models.TextField(null=True)),
                ("error_details", models.TextField(null=True)),
            ],
            options={
                "db_table": table("attempt"),
                "managed": False,
                "base_manager_name": "objects",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                ("uid", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("queue", models.CharField(max_length=255)),
                ("type", models.CharField(max_length=255)),
                ("priority", models.SmallIntegerField()),
                ("payload", models.JSONField()),
                ("result", models.JSONField(null=True)),
                ("error", models.TextField(null=True)),
                ("status", models.CharField(max_length=255)),
                ("attempts", models.IntegerField()),
                ("crashes", models.SmallIntegerField()),
                ("max_attempts", models.IntegerField()),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                ("run_at", models.DateTimeField()),
                ("claimed_at", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("completed_at", models.DateTimeField(null=True)),
                ("unique", models.CharField(db_column="unique_key", max_length=255, null=True)),
                ("tags", models.JSONField(null=True)),
                ("metadata", models.JSONField(null=True)),
                ("timeout", models.FloatField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("cancel_asked_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": table("job"),
                "managed": False,
                "base_manager_name": "objects",
                "default_permissions": ("view", "change"),
            },
        ),
    ]
