"""Routes for operators (alive, ready, metrics), and the start plan of a generation."""

from __future__ import annotations

from quart import Blueprint, Response

from preview.detection import describe_plan
from preview.errors import DatabaseUnavailable, DiskFull, ServiceStopping
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.generations import Plan
from preview.http.contracts.v1 import Alive
from preview.http.core.answers import json_answer
from preview.http.core.uploads import open_files
from preview.http.identity import own_generation
from preview.http.metrics import METRICS_TYPE
from preview.supervisor import check_free_disk

# The response must come within two seconds, whatever the database does.
_CHECK_S = 1.5


def system_routes(running: Running) -> Blueprint:
    """Return the routes, relative to the app's root."""
    routes = Blueprint("system", __name__)

    @routes.get("/healthz")
    async def healthz() -> Response:
        """Report that the process responds."""
        return json_answer(Alive(status="ok"))

    @routes.get("/readyz")
    async def readyz() -> Response:
        """Report whether the service is ready: database usable, not stopping.

        A full disk is reported, but the service stays ready: previews keep running, and deleting frees space.
        """
        try:
            service = running().service
            if service.draining.is_set():
                return json_answer(Alive(status="stopping"), 503)
            if service.cluster is not None and not service.cluster.lease.holds:
                # Sooner than the database's own deadline: a load balancer must not wait for it.
                message = "This node has lost its place in the cluster."
                return json_answer(Alive(status="database_unavailable", message=message), 503)
            await service.database.check(_CHECK_S)
            if service.log_writer.outage is not None:
                raise service.log_writer.outage
            check_free_disk(service.settings)
        except DiskFull as error:
            return json_answer(Alive(status="disk_full", message=error.message))
        except ServiceStopping:
            return json_answer(Alive(status="stopping"), 503)
        except DatabaseUnavailable as error:
            return json_answer(Alive(status="database_unavailable", message=error.message), 503)
        return json_answer(Alive(status="ready"))

    @routes.get("/metrics")
    async def metrics() -> Response:
        """Return counters in Prometheus' text format: numbers only, no user names."""
        return Response(running().metrics.render(), content_type=METRICS_TYPE)

    return routes


def plan_routes(running: Running) -> Blueprint:
    """Return the route, relative to ``/api/v1``."""
    routes = BackendRoutes("plans", running)

    @routes.get("/generations/<generation_id>/plan")
    async def plan(backend: Backend, generation_id: str) -> Response:
        """Return how the generation would start, and why.

        Determined from its files and its `preview.toml`; nothing is run. Values of secrets are left out.
        """
        _, generation = await own_generation(backend, generation_id)
        async with open_files(backend.service.generations, generation.id) as directory:
            analysis = await backend.service.reader.analyse(directory, None, backend.service.supplied)
        return json_answer(Plan.model_validate(describe_plan(analysis.plan)))

    return routes
