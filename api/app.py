"""The only wiring: settings in, an ASGI application out."""

import gc
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import cache
from multiprocessing.connection import Connection
from threading import Thread, Timer

import httpx
import msgspec
import structlog
from litestar import Litestar, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from api.ledger.keeping.pulse import Pulse
from api.ledger.keeping.standby import Lag, as_it_allows
from api.ledger.keeping.watch import Watch
from api.ledger.reading import soundness
from api.ledger.signing.checkpoints import Checkpoints, Kept
from api.ledger.storage.database import Database
from api.ledger.writing.ledger import Ledger
from api.ledger.writing.writer import Sealed
from api.logs import configure_logging
from api.routes.edge.asked import NO_CACHE
from api.routes.edge.bodies import Bodies
from api.routes.edge.edge import Edge
from api.routes.edge.exchange import PlainRequest
from api.routes.edge.explaining import explain_framework
from api.routes.edge.keyring import Keyring
from api.routes.edge.limits import RateLimits
from api.routes.edge.metrics import Metrics
from api.routes.edge.negotiation import Encoders
from api.routes.edge.operation import serves
from api.routes.edge.reply import NO_STORE, Reply, options_of
from api.routes.edge.services import Services
from api.routes.edge.waiting import Followers, Lines, Turns
from api.routes.log import batch, diff, events, proofs, redactions, tlog
from api.routes.records import claims, entities, questions, search, sources, statements, timeline
from api.routes.service import actors, openapi, pages, reference, service
from api.settings import Settings, load
from api.witnessing import cosigning
from api.witnessing.cosigning import Cosigning

# Young objects before a collection, and collections of one generation before the next one's: a request makes hundreds.
_COLLECT_AFTER = (20_000, 20, 20)
# Seconds that a process which is to end waits for a database server.
_ENDS_WITHIN = 4.0
# Seconds after which a thread that computes lets others have their turn.
_TURN = 0.0005
_HANDLERS = (
    *claims.HANDLERS,
    *questions.HANDLERS,
    *sources.HANDLERS,
    *entities.HANDLERS,
    *search.HANDLERS,
    *timeline.HANDLERS,
    *statements.HANDLERS,
    *events.HANDLERS,
    *diff.HANDLERS,
    *proofs.HANDLERS,
    *batch.HANDLERS,
    *redactions.HANDLERS,
    *service.HANDLERS,
    *actors.HANDLERS,
    *pages.HANDLERS,
    *reference.HANDLERS,
    *tlog.HANDLERS,
)


def create_app(settings: Settings | None = None, ending: Connection | None = None) -> ASGIApp:
    """Make the application over a ledger that is migrated and begun already. granian calls it once in each worker.

    Something comes on `ending` when the process is told to end: what is under way waits for no database much longer then.
    """
    settings = settings or load()
    configure_logging(settings)
    metrics = Metrics()
    app = wrap(build(settings, metrics, ending), metrics)
    own_process()
    return app


def own_process() -> None:
    """Set the interpreter up for what it is to do. Only who owns the process calls this, as it starts.

    The garbage collector is kept from walking, over and over, what lives as long as the process; and threads that compute
    let others have their turn more often: the event loop, and on SQLite the thread in which a rebuild writes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    sys.setswitchinterval(_TURN)


def wrap(app: Litestar, metrics: Metrics | None = None) -> ASGIApp:
    """Put the edge around the application."""
    return Edge(app, metrics or Metrics(), structlog.get_logger())


def build(settings: Settings, metrics: Metrics, ending: Connection | None = None) -> Litestar:
    """Make the Litestar application, with its own lifespan."""
    handlers = [*_HANDLERS, _metrics_route(metrics), _get_document]
    app = Litestar(
        [*options_of(handlers), *handlers],
        lifespan=[_living(settings, metrics, ending)],
        exception_handlers={HTTPException: explain_framework, Exception: _on_crash},
        openapi_config=None,
        request_max_body_size=None,
        logging_config=None,
    )
    app.state.document = _document(settings.public_url, settings.contact)
    app.state.reference = _reference(app.state.document.body)
    return app


@cache
def _document(address: str | None, contact: str | None) -> pages.Asset:
    """Give the OpenAPI document: the same for every application of a ledger, and longer in the making than one."""
    described = Litestar([*_HANDLERS, _get_document], openapi_config=None, logging_config=None)
    return pages.asset_of(msgspec.json.encode(openapi.build(described, address, contact)), "application/json")


@cache
def _reference(document: bytes) -> reference.Reference:
    return reference.Reference(document)


def _living(
    settings: Settings, metrics: Metrics, ending: Connection | None
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def living(app: Litestar) -> AsyncIterator[None]:
        services = app.state.services = _furnish(settings)
        ledger, checkpoints, watch, lag = services.ledger, services.checkpoints, services.watch, Lag(services.database)
        metrics.observe_ledger(lambda: _tally(ledger, watch, lag))
        is_read_only = services.settings.read_only
        asking = Cosigning(services.database, checkpoints, () if is_read_only else settings.witnesses)
        metrics.observe_each("witness", lambda: cosigning.numbers(asking.tallies()))
        if ending is not None:
            Thread(target=_hasten, args=(ending, services), name="ending", daemon=True).start()
        watch.start()
        if is_read_only:
            lag.start()
        checkpoints.start()
        asking.start()
        services.pulse.start()
        ledger.start()
        try:
            yield
        finally:
            # What was accepted is finished and signed before the connections go, unless a server does not answer.
            patience = Timer(_ENDS_WITHIN, services.database.give_up)
            patience.start()
            ledger.stop()
            services.pulse.stop()
            asking.stop()
            checkpoints.stop()
            watch.stop()
            lag.stop()
            services.close()
            patience.cancel()

    return living


def _hasten(ending: Connection, services: Services) -> None:
    """Let go those who follow the log when the process is told to end, and some seconds later all that waits for a database."""
    ending.poll(None)
    services.pulse.let_go()
    time.sleep(_ENDS_WITHIN)
    services.database.give_up()


def _furnish(settings: Settings) -> Services:
    """Make what handlers reach; nothing of it is at work yet."""
    database = Database(settings)
    settings = as_it_allows(settings, database)
    watch = Watch(database)
    checkpoints = (Kept if settings.read_only else Checkpoints)(database, settings.signing_key_path, watch)
    pulse = Pulse(database)
    return Services(
        settings=settings,
        database=database,
        ledger=Ledger(
            database,
            group_size=settings.group_size,
            guard=checkpoints.guard,
            hold=checkpoints.hold,
            committed=_telling(checkpoints, pulse),
        ),
        checkpoints=checkpoints,
        watch=watch,
        keyring=Keyring(database),
        limits=RateLimits(settings),
        bodies=Bodies(settings),
        encoders=Encoders(),
        turns=Turns(),
        lines=Lines(),
        pulse=pulse,
        followers=Followers(settings.followers),
        origin=soundness.ledger_state(database.access())["log_origin"],
        begun=soundness.begun(database.access()),
    )


def _telling(checkpoints: Checkpoints, pulse: Pulse) -> Callable[[Sealed], None]:
    """Tell those who are to know what was committed, before whoever appended it knows."""

    def tell(sealed: Sealed) -> None:
        checkpoints.committed(sealed)
        pulse.tell(sealed.position)

    return tell


@contextmanager
def answering(settings: Settings) -> Iterator[Callable[[str], Awaitable[tuple[int, bytes]]]]:
    """Answer reads over a database, here and as a served ledger would; nothing is written or signed.

    What is given takes a path with its query and gives status and body.
    """
    app = build(settings, Metrics())
    services = app.state.services = _furnish(settings)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]

    async def answer(path: str) -> tuple[int, bytes]:
        asked = httpx.Request("GET", f"http://ledger.invalid{path}", headers={"Accept": "application/json"})
        found = await transport.handle_async_request(asked)
        return found.status_code, await found.aread()

    try:
        yield answer
    finally:
        services.close()


def _tally(ledger: Ledger, watch: Watch, lag: Lag) -> Mapping[str, float]:
    tally = ledger.tally
    behind = {} if lag.seconds is None else {"standby_behind_seconds": lag.seconds}
    return {
        **behind,
        "appended_events_total": tally.events,
        "append_units_total": tally.units,
        "append_refused_total": tally.refused,
        "append_groups_total": tally.groups,
        "log_looked_at_position": watch.position,
        "log_looked_through_total": watch.rounds,
        "log_damaged": float(watch.damage is not None),
    }


def _metrics_route(metrics: Metrics) -> HTTPRouteHandler:
    @serves("/metrics")
    async def get_metrics(_request: PlainRequest) -> Reply:
        body, media_type = metrics.render()
        return Reply(200, [(b"content-type", media_type.encode()), (b"cache-control", NO_STORE)], body)

    return get_metrics


@serves("/openapi.json")
async def _get_document(request: PlainRequest) -> Reply:
    return pages.respond(request, request.app.state.document, [(b"cache-control", NO_CACHE)])


def _on_crash(_request: PlainRequest, error: Exception) -> Response[bytes]:
    """Hand a fault to the edge, which logs it and answers for it."""
    raise error
