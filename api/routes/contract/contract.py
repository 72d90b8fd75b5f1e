"""An operation as it is published and enforced: the OpenAPI document and the checks of a request both come from here."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from api.domain.records.operation import decoder
from api.routes.contract.params import Path, Strict

Query_co = TypeVar("Query_co", bound=Strict, covariant=True)
Body_co = TypeVar("Body_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract(Generic[Query_co]):
    """One operation. Those that only this class describes are GET, and read."""

    id: str
    summary: str
    tag: str
    returns: str
    query: type[Query_co]
    description: str = ""
    headers: tuple[str, ...] = ()
    offers: tuple[str, ...] = ("application/json",)
    scope: str | None = None
    status: int = 200
    answer_headers: tuple[str, ...] = ()
    absent: bool = False
    gone: bool = False
    conflicts: bool = False
    always_open: bool = False

    def __post_init__(self) -> None:
        """Get ready to read what the contract allows, before there are threads."""
        for wanted in (Path, self.query):
            decoder(wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostContract(Contract[Query_co], Generic[Query_co, Body_co]):
    """One operation that is POST: it takes a body, needs a scope, and writes. Where `body` is None the handler reads it."""

    scope: str
    media_types: tuple[str, ...] = ("application/json",)
    body: type[Body_co] | None = None
    status: int = 201

    def __post_init__(self) -> None:
        """Get ready to read the body as well."""
        for wanted in (Path, self.query, self.body):
            decoder(wanted)
