"""What operators ask: alive, ready, metrics."""

from __future__ import annotations

from quart import Blueprint, Response

from preview.errors import DatabaseUnavailable, DiskFull, ServiceStopping
from preview.http.backend import backend
from preview.http.core.answers import json_answer
from preview.http.metrics import METRICS_TYPE
from preview.supervisor import check_free_disk

# The answer comes within two seconds, whatever the database does.
_CHECK_S = 1.5


def system_routes() -> Blueprint:
    """The routes, relative to the app's root."""
    routes = Blueprint("system", __name__)

    @routes.get("/healthz")
    async def healthz() -> Response:
        """Whether the process answers at all."""
        return json_answer({"status": "ok"})

    @routes.get("/readyz")
    async def readyz() -> Response:
        """Whether it should be sent requests: the database can be read and written, and it is not going down.

        A full disk is said, but is no reason to send it none: previews run on, and deleting makes room.
        """
        try:
            service = backend().service
            if service.draining.is_set():
                return json_answer({"status": "stopping"}, 503)
            await service.database.check(_CHECK_S)
            if service.log_writer.outage is not None:
                raise service.log_writer.outage
            check_free_disk(service.settings)
        except DiskFull as error:
            return json_answer({"status": "disk_full", "message": error.message})
        except ServiceStopping:
            return json_answer({"status": "stopping"}, 503)
        except DatabaseUnavailable as error:
            return json_answer({"status": "database_unavailable", "message": error.message}, 503)
        return json_answer({"status": "ready"})

    @routes.get("/metrics")
    async def metrics() -> Response:
        """Counters in Prometheus' text format: numbers only, nobody's names."""
        return Response(backend().metrics.render(), content_type=METRICS_TYPE)

    return routes
