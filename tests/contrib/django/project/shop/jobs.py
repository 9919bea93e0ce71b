"""Handlers that a project might have. The app finds this module by itself."""

import os
import time
from pathlib import Path

from django.db.models import F

from shop.models import Order
from steve.contrib.django import manager


@manager.handler("ship")
def ship(job):
    Order.objects.filter(pk=job.payload["order"]).update(shipped=F("shipped") + 1)
    return {"pid": os.getpid()}


@manager.handler("hold")
def hold(job):
    """Runs until the file is gone."""
    Path(job.payload["begun"]).write_text(str(os.getpid()))
    while Path(job.payload["until_gone"]).exists():
        time.sleep(0.01)
    return ship(job)


@manager.task(queue="mail")
def send(order: int, more: int = 0) -> str:
    if more:
        send.create(order, more - 1)
    return Order.objects.get(pk=order).name


@manager.handler("fail", max_attempts=1)
def fail(job):
    raise RuntimeError("no stock")


@manager.handler("look")
def look(job):
    order = Order.objects.get(pk=job.payload["order"])
    return order.name
