"""Sends the jobs to the database "second"."""


class JobsRouter:
    def db_for_read(self, model, **hints):
        return "second" if model._meta.app_label == "steve" else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return db == "second" if app_label == "steve" else None
