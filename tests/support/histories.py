"""Random histories: lists of requests over a small world, most of them sensible and some to be refused."""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from api.domain.dates import edtf
from api.ledger.reading.selection import Selection, Window
from tests.support.builders import (
    Operation,
    a_claim,
    a_question,
    a_source,
    an_entity,
    link,
    restore,
    retract,
    revise,
    unlink,
)

ENTITIES = ("parler", "amazon", "aws", "matze")
SOURCES = ("paper", "agency", "reprint", "comment")
QUESTIONS = ("when", "who", "whether", "how-many", "which", "why")
CLAIMS = tuple(f"c{number}" for number in range(8))
RELATIONS = ("contradicts", "corroborates", "repeats", "corrects", "supersedes")
STANCES = ("asserts", "asserts", "denies", "doubts", "predicts", "alleges", "reports-hearsay")
DATES = ("2021-01-10", "2021-01-11T08:00Z", "2021-01", "2020/2021", "2021-01-09/..", "[2021-01-08..]", "/2021-01-12")
ONE = st.sampled_from
State = dict[str, Any]
ANSWERS: dict[str, Any] = {
    "when": ONE(DATES).map(lambda date: {"type": "time", "edtf": date}),
    "who": ONE(ENTITIES).map(lambda entity: {"type": "entity", "entity": entity}),
    "whether": st.booleans().map(lambda value: {"type": "boolean", "value": value}),
    "how-many": st.builds(
        lambda amount, approximate: {"type": "quantity", "amount": amount, "unit": "users", "approximate": approximate},
        ONE(("10", "10.4", "20", "-3")), st.booleans(),
    ),
    "which": st.builds(
        lambda entities, complete: {"type": "entities", "entities": entities, "complete": complete},
        st.lists(ONE(ENTITIES), min_size=1, max_size=3, unique=True), st.booleans(),
    ),
    "why": ONE(("Because of violence", "Été à Besançon")).map(lambda text: {"type": "text", "text": text}),
}  # fmt: skip
_TEXTS = ("Parler went offline", "Amazon s'est retirée", "L’Été dernier", "Straße 7", "ﬁn")
_DATE = st.none() | ONE(DATES)
_WHO = st.none() | ONE(ENTITIES)
_SOME = st.lists(ONE(SOURCES), max_size=2, unique=True)


def ground() -> list[Operation]:
    """Four entities, four sources, a question of each type, and six of the eight claims."""
    types = dict(zip(QUESTIONS, ("time", "entity", "boolean", "quantity", "entities", "text"), strict=True))
    units = {"how-many": {"unit": "users", "varies": True}, "whether": {"varies": True}}
    return [
        an_entity("parler"),
        an_entity("amazon", type="company", name="Amazon"),
        an_entity("aws", type="company", name="Amazon Web Services", part_of="amazon"),
        an_entity("matze", type="person", name="John Matze", names={"fr": "Jean Mâtze"}),
        a_source("paper", publisher="amazon", language="fr", published="2021-01-11"),
        a_source("agency", type="wire", published="2021-01-10", modified="2021-01-12"),
        a_source("reprint", derives_from=["agency"], authors=["Élodie", "Élodie"], language="FR-ca"),
        a_source("comment", type="reader-comment", part_of="paper", published="2021"),
        *(a_question(one, about="parler", text=f"{one}?", answer_type=types[one], **units.get(one, {})) for one in QUESTIONS),
        a_claim("c0", source="paper", question="when", answer={"type": "time", "edtf": DATES[0]}),
        a_claim("c1", source="reprint", question="who", answer={"type": "entity", "entity": "aws"}, speaker="matze"),
        a_claim("c2", source="comment", question="when", answer={"type": "time", "edtf": DATES[1]}, via=["agency"]),
        a_claim("c3", source="agency", question="who", answer={"type": "entity", "entity": "amazon"}),
        a_claim("c4", source="agency", question="whether", answer={"type": "boolean", "value": True}, valid="2021-01-11"),
        a_claim("c5", source="paper", question="whether", answer={"type": "boolean", "value": True}, stance="denies"),
    ]  # fmt: skip


@st.composite
def _claim(draw: Any) -> Operation:
    question = draw(ONE(QUESTIONS))
    fitting = draw(ONE((question,) * 9 + QUESTIONS[:1]))
    more = {
        "answer": draw(ANSWERS[fitting]),
        "valid": draw(_DATE) if question != "when" else None,
        "speaker": draw(_WHO),
        "via": draw(_SOME),
        "stance": draw(ONE(STANCES)),
        "statement": draw(ONE(_TEXTS)),
    }
    return a_claim(draw(ONE((*CLAIMS[6:] * 3, *CLAIMS))), source=draw(ONE(SOURCES)), question=question, **more)


def _changes(kind: str, **fields: Any) -> st.SearchStrategy[Operation]:
    """One or two fields of one record of a kind, changed; the revision expected is filled in when it is sent."""
    ids = ONE({"entity": ENTITIES, "source": SOURCES, "question": QUESTIONS, "claim": CLAIMS}[kind])
    changed = st.lists(ONE(sorted(fields)), min_size=1, max_size=2, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: fields[name] for name in names})
    )
    return st.builds(lambda public_id, values: revise(kind, public_id, **values), ids, changed)


_RECORDS = [("entity", one) for one in ENTITIES] + [("source", one) for one in SOURCES]
_RECORDS += [("question", one) for one in QUESTIONS] + [("claim", one) for one in CLAIMS] * 2
_ANY = ONE(_RECORDS)
_LINKS = (ONE(CLAIMS), ONE(RELATIONS), ONE(CLAIMS))
OPERATION = st.one_of(
    _claim(), _claim(),
    _changes("entity", name=ONE(_TEXTS), part_of=_WHO, names=ONE(({}, {"de": "Größe"})), note=st.none() | ONE(_TEXTS)),
    _changes("source", title=ONE(_TEXTS), derives_from=_SOME, part_of=st.none() | ONE(SOURCES), published=_DATE,
             modified=_DATE, publisher=_WHO, language=ONE((None, "fr", "fr-CA", "FR-ca", "frr", "en"))),
    _changes("question", text=ONE(_TEXTS), varies=st.booleans(), about=st.lists(ONE(ENTITIES), min_size=1, max_size=2)),
    _changes("claim", statement=ONE(_TEXTS), stance=ONE(STANCES), speaker=_WHO, via=_SOME, valid=_DATE,
             answer=st.one_of(*ANSWERS.values())),
    _ANY.map(lambda of: retract(*of)),
    _ANY.map(lambda of: restore(*of)),
    st.builds(lambda of, revision: restore(*of, revision=revision), _ANY, ONE((1, 2, 3))),
    st.builds(link, *_LINKS), st.builds(link, *_LINKS), st.builds(unlink, *_LINKS),
)  # fmt: skip
_TIMES = ("2021-01-10", "2021-01-11T12:00:00Z", "2021", "2020-06/2021-01-10")


@st.composite
def histories(draw: Any) -> list[list[list[Operation]]]:
    """Give groups of requests; a request of several operations is a batch."""
    request = ONE((1, 1, 1, 2, 3)).flatmap(lambda size: st.lists(OPERATION, min_size=size, max_size=size))
    return draw(st.lists(st.lists(request, min_size=1, max_size=4), min_size=6, max_size=14))


def sensible(operations: list[Operation], known: dict[tuple[str, str], State], random: Any) -> list[Operation]:
    """Fill in what each operation expects, and turn most that are sure to be refused into ones that may pass."""
    seen = {key: (state["revision"], state["status"]) for key, state in known.items()}
    filled = []
    for operation in operations:
        key = (operation["kind"], operation["id"])
        revision, status = seen.get(key, (0, "asserted"))
        asked = operation
        if operation["op"] == "record" and revision and random.random() < 0.9:
            fields = {name: value for name, value in operation["body"].items() if name not in ("source", "question")}
            asked = revise(*key, **{name: fields[name] for name in random.sample(sorted(fields), 2)})
        elif operation["op"] == "restore" and "revision" not in operation and status == "asserted":
            asked = retract(*key)
        elif operation["op"] != "restore" and status == "retracted" and random.random() < 0.7:
            asked = restore(*key)
        if asked["op"] != "record":
            asked = {**asked, "expect": revision or 1 if random.random() < 0.97 else 1}
        seen[key] = (revision + 1, {"retract": "retracted", "restore": "asserted"}.get(asked["op"], status))
        filled.append(asked)
    return filled


def selections(random: Any) -> Iterator[Selection]:
    """Give lists to ask for, over all kinds and filters."""
    for kind in ("entity", "source", "question", "claim", "claim", "claim", "claim", "claim"):
        # Those of one filter are alternatives.
        terms = random.sample(_TERMS[kind], random.choice((0, 1, 1, 1, 2, 3)))
        orders = ("recorded", "-recorded", "revised", "-revised", *_ORDERS.get(kind, ()))
        named: dict[str, Any] = {
            "order": random.choice(orders),
            "words": random.choice(
                ((),) * 4 + (("parler",), ("ete",), ("amazon", "web"), ("strasse",), ("fin",), ("c1",))
            ),
            "ids": random.choice(((), (), (), ("c1", "c2", "aws", "paper", "when"))),
        }
        if kind == "claim":
            named |= {
                "is_live": random.choice((None, None, True, False)),
                "parent_terms": random.choice(
                    (
                        (),
                        (),
                        [("source", "publisher", "amazon")],
                        [("question", "about", "parler")],
                        [
                            ("source", "language", "fr"),
                            ("source", "language", "en-GB"),
                            ("question", "about", "parler"),
                        ],
                    )
                ),
                "valid": random.choice(((), (), (), [_window(random)])),
            }
        if kind == "question":
            named["agreement"] = random.choice(
                ((), ("disputed",), ("single-origin",), ("agreed",), ("open",), ("open", "disputed"))
            )
        if kind in ("claim", "source"):
            named["published"] = random.choice(((), (), (), [_window(random)]))
        yield Selection(kind=kind, terms=terms, limit=500, **named, **(clocks(random) if kind == "claim" else {}))


def clocks(random: Any) -> dict[str, Any]:
    return {
        "published_by": random.choice((None, None, edtf.as_deadline(random.choice(_TIMES)))),
        "valid_at": random.choice((None, None, edtf.as_extent(random.choice(_TIMES)))),
        "is_certain": random.choice((False, True)),
    }


def _window(random: Any) -> Window:
    extent = edtf.as_extent(random.choice(_TIMES))
    if random.choice((True, False)):
        return Window(earliest=extent.start.earliest)
    return Window(latest=extent.end.latest)


_ORDERS = {
    "source": ("published", "-published"),
    "claim": ("published", "-published"),
    "question": ("agreement", "-agreement", "claims", "-claims"),
}
_TERMS: dict[str, list[tuple[str, str]]] = {
    "entity": [("status", "retracted"), ("type", "company"), ("type", "person"), ("part_of", "amazon")],
    "source": [
        ("status", "asserted"), ("publisher", "amazon"), ("language", "fr"), ("language", "fr-CA"), ("derives_from", "agency"),
        ("part_of", "paper"), ("type", "article"), ("type", "wire"),
    ],
    "question": [
        ("about", "parler"), ("about", "amazon"), ("answer_type", "time"), ("answer_type", "text"), ("unit", "users"),
        ("varies", "true"), ("varies", "false"), ("status", "asserted"),
    ],
    "claim": [
        ("status", "asserted"), ("status", "retracted"), ("source", "paper"), ("source", "agency"), ("question", "when"), ("question", "who"),
        ("speaker", "matze"), ("via", "agency"), ("stance", "asserts"), ("stance", "denies"), ("answer_type", "entity"),
        ("entity", "aws"), ("entity", "matze"), ("relation", "contradicts"), ("linked_to", "c0"), ("linked_to", "c1"),
    ],
}  # fmt: skip
