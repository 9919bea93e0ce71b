from django.db import transaction
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt

from shop.models import Order
from steve.contrib.django import manager


@csrf_exempt
def order(request):
    with transaction.atomic():
        order = Order.objects.create(name=request.POST["name"])
        job = manager.create("ship", {"order": order.pk})
        if "fail" in request.POST:
            raise RuntimeError("after the job was created")
    return JsonResponse({"order": order.pk, "job": str(job.uid)}, status=202)


def job(request, uid):
    found = manager.find(uid)
    return JsonResponse({"status": None if found is None else found.status})
