"""The table of kinds: what a kind of record is called, what it says, what it names, what is never revised, how it is found.

Routes, parameters, shapes, search, lists, rules, lint and verification read it here. What is done with it is told there.

To add a filter to a list, three places are touched:

1. here: a line among the `filters` of the kind, and one among its `terms` where nothing is found by that value yet;
2. `api/routes/contract/params.py`: the parameter, with its type and what it means;
3. where the term is new, `PROJECTED` in `api/ledger/projecting/projection.py`, so that a database from before derives it.

`openapi/openapi.json` is then made anew, and the test of the projections' version told their new digest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from msgspec import Struct

from api.domain.dates.edtf import Extent
from api.domain.languages import in_usual_case, ranges_of
from api.domain.log.event import KindName
from api.domain.records.answer import entities_named, text_in
from api.domain.records.claim import ClaimBody, valid_extent
from api.domain.records.entity import EntityBody
from api.domain.records.question import QuestionBody
from api.domain.records.record import State
from api.domain.records.source import SourceBody, published_extent

KIND_NAMES: Final[tuple[KindName, ...]] = get_args(KindName)


def values_of(state: State, field: str) -> Sequence[str]:
    """Give what a field says, as texts."""
    return texts_in(state[field])


def texts_in(value: object) -> Sequence[str]:
    """Give a field's value as texts: one, several of a list or a map, or none; of a truth `true` or `false`."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, dict):
        return [value[name] for name in sorted(value)]
    return ("true" if value else "false",)


@dataclass(frozen=True, slots=True)
class Said:
    """Something that a state says, by name: the values of the field of that name, or those that `read` gives."""

    name: str
    read: Callable[[State], Sequence[str]] | None = None

    def values(self, state: State) -> Sequence[str]:
        return texts_in(state[self.name] if self.read is None else self.read(state))


@dataclass(frozen=True, slots=True)
class Term(Said):
    """Values that a record is found by. Where they are ids of records, `names` says of which kind."""

    names: KindName | None = None


# A text, and its language where that is known.
Tagged = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Reference:
    """A field that holds the id of a record of some kind, or a list of such ids. They are terms, too."""

    field: str
    kind: KindName
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A parameter that narrows a list to the records that hold a value.

    It is looked for among the record's terms of these names: of the filter's own where none are given. With `of` they are
    terms of the source or question that the record stands on. A filter with the name of that source or question itself
    is found by the column of the record's row. `spell` writes what is asked for as the terms are written.
    """

    name: str
    terms: tuple[str, ...] = ()
    of: KindName | None = None
    spell: Callable[[str], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of record.

    `body` is what a client states of one, `computed` what a representation adds to that. Of `fixed` fields none is ever
    revised, of those `fixed_once_answered` none from the first claim on a question on. `stands_on` names the kinds of
    which a record needs one each: fixed fields of these names, and columns of the record's row. `words` are what a search
    looks into, in English, `tagged` what it looks into beside, each in a language of its own, and `called` what a record is
    called, in every language; `span` gives the time that a record speaks of. `filters` stand in the order in which they lead a search: first
    those whose values few records share. Of `facets`, `agreement` is no term: it is computed.
    """

    name: KindName
    plural: str
    body: type[Struct]
    computed: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ("id",)
    fixed_once_answered: tuple[str, ...] = ()
    stands_on: tuple[KindName, ...] = ()
    references: tuple[Reference, ...] = ()
    other_terms: tuple[Term, ...] = ()
    words: tuple[Said, ...] = ()
    tagged: Callable[[State], Sequence[Tagged]] | None = None
    called: Callable[[State], Sequence[Tagged]] | None = None
    span: Callable[[State], Extent | None] | None = None
    filters: tuple[Filter, ...]
    facets: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where records of this kind are found."""
        return f"/v1/{self.plural}"

    @property
    def one(self) -> str:
        """The name with its article."""
        return f"an {self.name}" if self.name[0] in "aeiou" else f"a {self.name}"

    @property
    def fields(self) -> tuple[str, ...]:
        """What a state of this kind says beside `id`, `status` and `links`, in reading order."""
        return self.body.__struct_fields__

    @property
    def terms(self) -> tuple[Term, ...]:
        """All that a record is found by, what it refers to included. That it is asserted goes without saying."""
        return (*(Term(each.field, names=each.kind) for each in self.references), *self.other_terms)

    def leads(self, name: str) -> int:
        """Tell how early a filter of this name leads a search: 0 for the first to do so."""
        return [each.name for each in self.filters].index(name)

    def looked_into(self, name: str) -> tuple[str, ...]:
        """Name the terms, as `kind.term`, that a filter or a facet of this name looks into."""
        given = next((each for each in self.filters if each.name == name), Filter(name))
        return tuple(f"{given.of or self.name}.{term}" for term in given.terms or (name,))


def _names(state: State) -> Sequence[Tagged]:
    return [(state["names"][language], language) for language in sorted(state["names"])]


ENTITY = Kind(
    name="entity",
    plural="entities",
    body=EntityBody,
    references=(Reference("part_of", "entity"),),
    other_terms=(Term("type"), Term("same_as")),
    words=(Said("name"), Said("note")),
    tagged=_names,
    called=lambda state: [(state["name"], None), *_names(state)],
    filters=(Filter("status"), Filter("type"), Filter("part_of")),
    facets=("type", "status", "part_of"),
)
SOURCE = Kind(
    name="source",
    plural="sources",
    body=SourceBody,
    references=(
        Reference("publisher", "entity"),
        Reference("derives_from", "source", is_list=True),
        Reference("part_of", "source"),
    ),
    other_terms=(
        Term("type"),
        Term("language", lambda state: ranges_of(state["language"]) if state["language"] else ()),
        Term("authors"),
    ),
    words=(Said("authors"), Said("url"), Said("note")),
    tagged=lambda state: [(state["title"], state["language"])],
    span=published_extent,
    filters=(
        Filter("status"),
        Filter("publisher"),
        Filter("type"),
        Filter("language", spell=in_usual_case),
        Filter("part_of"),
        Filter("derives_from"),
    ),
    facets=("type", "status", "publisher", "language", "part_of", "derives_from", "authors"),
)
QUESTION = Kind(
    name="question",
    plural="questions",
    body=QuestionBody,
    fixed=("id", "answer_type"),
    fixed_once_answered=("unit", "varies"),
    references=(Reference("about", "entity", is_list=True),),
    other_terms=(Term("answer_type"), Term("unit"), Term("varies")),
    words=(Said("text"), Said("aliases"), Said("note")),
    filters=(Filter("status"), Filter("about"), Filter("answer_type"), Filter("unit"), Filter("varies")),
    facets=("answer_type", "status", "unit", "varies", "about", "agreement"),
)
CLAIM = Kind(
    name="claim",
    plural="claims",
    body=ClaimBody,
    computed=("valid_bounds", "rules"),
    fixed=("id", "source", "question"),
    stands_on=("source", "question"),
    references=(Reference("speaker", "entity"), Reference("via", "source", is_list=True)),
    other_terms=(
        Term("reached_by", lambda state: state["via"][-1:]),
        Term("answer", lambda state: entities_named(state["answer"]), names="entity"),
        Term("answer_type", lambda state: (state["answer"]["type"],)),
        Term("stance"),
        Term("link", lambda state: [link["claim"] for link in state["links"]], names="claim"),
        Term("relation", lambda state: [link["relation"] for link in state["links"]]),
    ),
    words=(Said("statement"), Said("note"), Said("answer", lambda state: text_in(state["answer"]))),
    span=valid_extent,
    filters=(
        Filter("status"),
        Filter("speaker"),
        Filter("linked_to", ("link",)),
        Filter("via"),
        Filter("entity", ("speaker", "answer")),
        Filter("stance"),
        Filter("answer_type"),
        Filter("relation"),
        Filter("source"),
        Filter("question"),
        Filter("publisher", of="source"),
        Filter("language", of="source", spell=in_usual_case),
        Filter("about", of="question"),
    ),
    facets=("stance", "status", "speaker", "source", "question", "answer_type", "entity", "via", "relation"),
)
KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (ENTITY, SOURCE, QUESTION, CLAIM)}
# For each kind the fields that lead from one record of it to the next. No such way may lead back to where it began.
CHAINS: Final[Mapping[str, tuple[str, ...]]] = {
    kind.name: tuple(each.field for each in kind.references if each.kind == kind.name) for kind in KINDS.values()
}


def _naming(kind: KindName) -> tuple[str, ...]:
    return tuple(f"{each.name}.{term.name}" for each in KINDS.values() for term in each.terms if term.names == kind)


# For each kind the terms whose values are ids of its records; what a claim stands on is told by its row.
NAMED_IN: Final[Mapping[str, tuple[str, ...]]] = {kind: _naming(kind) for kind in KIND_NAMES}
