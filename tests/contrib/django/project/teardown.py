"""Makes a test database, works in it, and drops it, as often as the argument says. PostgreSQL refuses the last step while
anybody is connected."""

import sys
import threading

import django
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

django.setup()

from shop.models import Order  # noqa: E402

from steve.contrib.django import manager  # noqa: E402

for number in range(int(sys.argv[1])):
    old = setup_databases(verbosity=0, interactive=False)
    assert connection.settings_dict["NAME"].startswith("test_")
    order = Order.objects.create(name="tea")
    manager.start(3)
    with manager.on_done("ship", lambda job: Order.objects.count()):
        jobs = manager.create_many([("ship", {"order": order.pk})] * 10)
        manager.wait_all(jobs)
    future = manager.future(manager.create("nobody", {}, connection=None))
    match number % 3:
        case 0:
            manager.stop()
        case 1:
            threading.Thread(target=manager.stop).start()
    order.refresh_from_db()
    assert order.shipped == 10
    teardown_databases(old, verbosity=0)
    assert not connection.settings_dict["NAME"].startswith("test_")
print("dropped")
