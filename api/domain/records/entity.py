"""Entities: the persons, groups, companies, platforms, courts and occurrences that claims are about or come from."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.domain.addresses import Url
from api.domain.languages import Language
from api.domain.text import Id, Name, Note

EntityType = Literal[
    "person",
    "group",
    "company",
    "platform",
    "publisher",
    "app-store",
    "government",
    "court",
    "occurrence",
    "other",
]


class EntityBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client states of an entity. `part_of` is for organisations, families and groups, not for employers."""

    type: EntityType
    name: Name
    names: Annotated[dict[Language, Name], Meta(max_length=100)] = {}
    part_of: Id | None = None
    same_as: Annotated[list[Url], Meta(max_length=50)] = []
    note: Note | None = None
