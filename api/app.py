"""The only wiring: settings in, an ASGI application out."""

import gc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import structlog
from litestar import Litestar, Request, Response, Router, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from api.archive import cosigning
from api.archive.cosigning import Cosigning
from api.domain.errors import BadParameter
from api.ledger import genesis
from api.ledger.checkpoints import Checkpoints
from api.ledger.database import Database
from api.ledger.ledger import Ledger
from api.routes import (
    batch,
    claims,
    entities,
    events,
    health,
    openapi,
    pages,
    proofs,
    questions,
    redactions,
    sources,
    tlog,
)
from api.routes.edge import Edge, configure_logging, methods_of, remember_routes
from api.routes.keyring import Keyring
from api.routes.limits import RateLimits
from api.routes.metrics import Metrics
from api.routes.problems import EDGE, TABLE
from api.routes.wire import Rooms, admit, bad_host, not_found
from api.settings import Settings, load

# Young objects before a collection, and collections of one generation before the next one's: a request makes hundreds.
_COLLECT_AFTER = (20_000, 20, 20)
_HANDLERS = (
    *claims.HANDLERS,
    *questions.HANDLERS,
    *sources.HANDLERS,
    *entities.HANDLERS,
    *events.HANDLERS,
    *proofs.HANDLERS,
    *batch.HANDLERS,
    *redactions.HANDLERS,
    *health.HANDLERS,
)


def create_app(settings: Settings | None = None) -> ASGIApp:
    """Make the application over a ledger that is migrated and begun already. granian calls it once in each worker."""
    settings = settings or load()
    configure_logging(settings)
    metrics = Metrics()
    app = wrap(build(settings, metrics), metrics)
    spare_collector()
    return app


def spare_collector() -> None:
    """Keep the garbage collector from walking, over and over, what lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def wrap(app: Litestar, metrics: Metrics | None = None) -> ASGIApp:
    """Put the edge around the application."""
    remember_routes(app)
    return Edge(app, methods_of(app), metrics or Metrics(), structlog.get_logger())


def build(settings: Settings, metrics: Metrics) -> Litestar:
    """Make the Litestar application, with its own lifespan."""
    plain = Router(
        "/",
        route_handlers=[*pages.HANDLERS, *tlog.HANDLERS, _metrics_route(metrics), _document_route()],
        before_request=admit,
    )
    app = Litestar(
        [*_HANDLERS, plain],
        lifespan=[_living(settings, metrics)],
        exception_handlers={HTTPException: _on_http, Exception: _on_crash},
        openapi_config=None,
        request_max_body_size=None,
        logging_config=None,
    )
    app.state.document = pages.asset_of(msgspec.json.encode(openapi.build(app)), "application/json")
    return app


def _living(settings: Settings, metrics: Metrics) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def living(app: Litestar) -> AsyncIterator[None]:
        database = Database(settings)
        checkpoints = Checkpoints(database, settings.signing_key_path)
        ledger = Ledger(
            database, group_size=settings.group_size, guard=checkpoints.guard, committed=checkpoints.committed
        )
        state = genesis.ledger_state(database.access())
        app.state.rooms = Rooms(
            settings=settings,
            database=database,
            ledger=ledger,
            checkpoints=checkpoints,
            keyring=Keyring(database),
            limits=RateLimits(settings),
            origin=state["log_origin"],
        )
        metrics.observe_ledger(lambda: _tally(ledger))
        asking = Cosigning(database, checkpoints, settings.witnesses)
        metrics.observe_each("witness", lambda: cosigning.numbers(asking.tallies()))
        checkpoints.start()
        asking.start()
        ledger.start()
        try:
            yield
        finally:
            # What was accepted is finished and signed before the connections go.
            ledger.stop()
            asking.stop()
            checkpoints.stop()
            database.close()

    return living


def _tally(ledger: Ledger) -> Mapping[str, float]:
    tally = ledger.tally
    return {
        "appended_events_total": tally.events,
        "append_units_total": tally.units,
        "append_refused_total": tally.refused,
        "append_groups_total": tally.groups,
    }


def _metrics_route(metrics: Metrics) -> HTTPRouteHandler:
    @get("/metrics", include_in_schema=False, sync_to_thread=False)
    def get_metrics() -> Response[bytes]:
        body, media_type = metrics.render()
        # Litestar appends the charset to text types.
        plain = media_type.removesuffix("; charset=utf-8")
        return Response(body, media_type=plain, headers={"Cache-Control": "no-store"})

    return get_metrics


def _document_route() -> HTTPRouteHandler:
    @get("/openapi.json", include_in_schema=False, sync_to_thread=False)
    def get_document(request: Request[object, object, State]) -> Response[bytes]:
        return pages.respond(request, request.app.state.document, {"Cache-Control": "no-cache"})

    return get_document


def _on_http(request: Request[object, object, State], error: HTTPException) -> Response[bytes]:
    """Give the framework's own refusals the one shape: an unknown path, and a Host that is none."""
    if error.status_code == EDGE["not-found"].status:
        return not_found(request)
    if error.status_code != TABLE[BadParameter].status:
        raise error
    return bad_host()


def _on_crash(_request: Request[object, object, State], error: Exception) -> Response[bytes]:
    """Hand a fault to the edge, which logs it and answers for it."""
    raise error
