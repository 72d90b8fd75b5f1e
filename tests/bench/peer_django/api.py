"""HTTP of the Django peer: django-ninja with its schemas, keyset pages, one transaction to a write."""

from datetime import datetime

from django.core.wsgi import get_wsgi_application

# Before the models: importing them needs the apps.
application = get_wsgi_application()

from django.db import transaction  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.shortcuts import get_object_or_404  # noqa: E402
from django.urls import path  # noqa: E402
from ninja import NinjaAPI, Schema  # noqa: E402

from tests.bench.peer_django.models import Claim, Question, Source  # noqa: E402

LIST_PAGE = 50
FEED_PAGE = 100

api = NinjaAPI(docs_url=None, openapi_url=None)


class ClaimIn(Schema):
    """The body of a create."""

    source: str
    question: str
    statement: str
    answer: dict[str, object]
    valid: str | None
    speaker: str
    via: list[str]
    stance: str
    locator: dict[str, object]
    note: str


class ClaimOut(Schema):
    """A claim, or one version of it."""

    public_id: str
    source_id: int
    question_id: int
    statement: str
    answer: dict[str, object]
    valid: str | None
    speaker: str
    via: list[str]
    stance: str
    locator: dict[str, object]
    note: str
    recorded_at: datetime


class ClaimPage(Schema):
    """A page of a list."""

    items: list[ClaimOut]


class Change(Schema):
    """Who, when and why; without the state."""

    history_id: int
    history_type: str
    history_date: datetime
    history_change_reason: str | None


class History(Schema):
    """All versions of a claim."""

    items: list[Change]


class FeedItem(ClaimOut, Change):
    """One change with the state that it left."""


class Feed(Schema):
    """A page of changes."""

    items: list[FeedItem]


class Revision(Schema):
    """The body of an update."""

    reason: str
    changes: dict[str, str]


@api.get("/claims/{one}", response=ClaimOut)
def read(request: HttpRequest, one: str, as_of: datetime | None = None) -> object:  # noqa: ARG001 - Django passes it
    """Read the current state, or the state at a time."""
    if as_of is None:
        return get_object_or_404(Claim, public_id=one)
    return Claim.history.filter(public_id=one, history_date__lte=as_of).order_by("-history_date", "-history_id")[0]


@api.get("/claims/{one}/revisions/{number}", response=ClaimOut)
def read_revision(request: HttpRequest, one: str, number: int) -> object:  # noqa: ARG001
    """Read a past state."""
    return Claim.history.filter(public_id=one).order_by("history_id")[number - 1]


@api.get("/claims/{one}/revisions", response=History)
def read_history(request: HttpRequest, one: str) -> object:  # noqa: ARG001
    """Read who, when and why, newest first."""
    changes = Claim.history.filter(public_id=one).order_by("-history_id")
    return {"items": list(changes.only(*Change.model_fields)[:LIST_PAGE])}


@api.get("/claims", response=ClaimPage)
def read_list(
    request: HttpRequest,  # noqa: ARG001
    stance: str | None = None,
    cursor: int = 0,
    as_of: datetime | None = None,
) -> object:
    """List claims in the order of recording, now or at a time."""
    claims = Claim.history.as_of(as_of) if as_of else Claim.objects.all()
    if stance:
        claims = claims.filter(stance=stance)
    return {"items": list(claims.filter(id__gt=cursor).order_by("id")[:LIST_PAGE])}


@api.get("/events", response=Feed)
def read_feed(request: HttpRequest, after: int) -> object:  # noqa: ARG001
    """Read a page of the feed."""
    return {"items": list(Claim.history.filter(history_id__gt=after).order_by("history_id")[:FEED_PAGE])}


@api.post("/claims", response={201: ClaimOut})
def create(request: HttpRequest, body: ClaimIn) -> tuple[int, object]:  # noqa: ARG001
    """Record a claim."""
    fields = body.dict()
    with transaction.atomic():
        source = get_object_or_404(Source.objects.only("id"), public_id=fields.pop("source"))
        question = get_object_or_404(Question.objects.only("id"), public_id=fields.pop("question"))
        return 201, Claim.objects.create(source=source, question=question, **fields)


@api.post("/claims/{one}/revisions", response={201: ClaimOut})
def update(request: HttpRequest, one: str, body: Revision) -> tuple[int, object]:  # noqa: ARG001
    """Revise a claim."""
    with transaction.atomic():
        claim = get_object_or_404(Claim.objects.select_for_update(), public_id=one)
        for name, value in body.changes.items():
            setattr(claim, name, value)
        claim._change_reason = body.reason  # noqa: SLF001 - how simple-history takes a reason
        claim.save()
        return 201, claim


urlpatterns = [path("", api.urls)]
