"""What a redaction touches, folded in anew: the record itself, and agreement on the questions that it weighs on.

The events that weigh on those are copied into a small ledger in memory, and folded in there as a rebuild does it; the
rows that this gives for what was touched replace those that stand. It costs what is touched, not what the ledger holds.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import msgspec

from api.domain.log.event import decode_own
from api.domain.records.kinds import KIND_NAMES
from api.domain.records.record import Record, State
from api.domain.records.upcasting import upcast
from api.ledger.projecting import findable
from api.ledger.projecting.pending import COLUMNS
from api.ledger.projecting.rebuild import fold_log
from api.ledger.storage import spelling
from api.ledger.storage.access import Access
from api.ledger.storage.reads import Reads, Row, Value
from api.ledger.storage.sqlite.store import in_memory
from api.ledger.storage.tables import PROJECTIONS, Event, Payload

_EVENT = "position, entry, leaf_hash, type, kind, record, revision, recorded_at, actor"
_PAYLOAD = "position, salt, payload"
_RECORD = _EVENT.split(", ").index("record")
_SAID = f"SELECT {', '.join(f'e.{name}' for name in _EVENT.split(', '))}, p.salt, p.payload"
_HISTORY = (
    f"{_SAID} FROM revision v JOIN event e ON e.position = v.position"
    " LEFT JOIN payload p ON p.position = v.position WHERE v.first_position IN ("
)
_REDACTIONS = (
    f"{_SAID} FROM record r JOIN event e ON e.position = r.first_position"
    " JOIN payload p ON p.position = e.position WHERE r.kind = 'redaction'"
)
_INDEXED = "SELECT s.since, p.payload FROM search s JOIN payload p ON p.position = s.since WHERE s.first_position = ? ORDER BY s.since"
# How many of a table's first columns name a row.
_KEY_SIZE = {"record": 1, "revision": 1, "feed": 1, "term": 4, "span": 3, "search": 2, "agreement": 2}


@dataclass(frozen=True, slots=True)
class Touched:
    """What a redaction touches: a record, by its first position, with its events and words; and questions by theirs.

    `weighing` are the records that what is folded in anew depends on, those touched among them.
    """

    record: int
    positions: list[int]
    words: dict[int, str]
    questions: list[int]
    weighing: set[int]


def touched_by(access: Reads, target: Record, removed: Sequence[State]) -> Touched:
    """Find out what will be touched, while what is to be removed is still there to tell."""
    first = target.first_position
    positions = [row[0] for row in access.rows("SELECT position FROM revision WHERE first_position = ?", (first,))]
    questions = _QUESTIONS[target.kind](access, target, removed)
    weighing = _weighing_on(access, questions) | {first, *_parents(access, [first])}
    return Touched(first, positions, _indexed(access, target.kind, first), sorted(questions), weighing)


def refold(access: Access, touched: Touched, kind: str) -> list[str]:
    """Let what was touched be as the log, as it now stands, has it; inside the transaction that is under way.

    Returns the tables in which something changed.
    """
    places = dict.fromkeys(("record", "revision", "term", "search"), ("first_position", [touched.record]))
    places |= {"span": (f"field IN {KIND_NAMES} AND first_position", [touched.record])}
    places |= {"feed": ("position", touched.positions), "agreement": ("question", touched.questions)}
    with closing(in_memory()) as small:
        _copy_log(access, small, touched)
        fold_log(small)
        changed = [
            table for table, (column, values) in places.items() if _replace(access, small, table, column, values)
        ]
        words = _indexed(small, kind, touched.record)
    access.words.take_out([(since, said) for since, said in touched.words.items() if words.get(since) != said])
    access.words.insert([(since, said) for since, said in words.items() if touched.words.get(since) != said])
    return changed if words == touched.words else [*changed, "search_index"]


def _of_claim(access: Reads, target: Record, _removed: Sequence[State]) -> set[int]:
    """The question that it answers, and those of all that it ever linked to, corrected or took back."""
    return _asked(access, [target.first_position]) | _linked(access, [target.first_position])


def _of_question(access: Reads, target: Record, _removed: Sequence[State]) -> set[int]:
    """Itself, and those that claims on it reach out to: such a link lapses with the question it is made from."""
    claims = _numbers(access, "SELECT first_position FROM record WHERE question IN (", [target.first_position])
    return {target.first_position} | _linked(access, claims)


def _of_source(access: Reads, target: Record, _removed: Sequence[State]) -> set[int]:
    """Those of the claims whose roots it is among, and those that these reach out to."""
    sources = _led_to(access, "source.derives_from", {target.id})
    firsts = _firsts(access, "source", sources)
    claims = _numbers(access, "SELECT first_position FROM record WHERE source IN (", firsts)
    claims += _holding(access, "claim.via", sources)
    return _asked(access, claims) | _linked(access, claims)


def _of_entity(access: Reads, target: Record, removed: Sequence[State]) -> set[int]:
    """Those of the claims that answer by it or a part of it, where what is removed said what it is part of."""
    if all(state["part_of"] is None for state in removed):
        return set()
    entities = _led_to(access, "entity.part_of", {target.id})
    return _asked(access, _holding(access, "claim.answer", entities))


_QUESTIONS: dict[str, Callable[[Reads, Record, Sequence[State]], set[int]]] = {
    "claim": _of_claim,
    "question": _of_question,
    "source": _of_source,
    "entity": _of_entity,
}


def _weighing_on(access: Reads, questions: Iterable[int]) -> set[int]:
    """Give all records that agreement on questions ever depended on."""
    claims = _numbers(access, "SELECT first_position FROM record WHERE question IN (", questions)
    ids = _words(access, "SELECT id FROM record WHERE first_position IN (", claims)
    claims += _holding(access, "claim.link", ids)
    parents = _parents(access, claims)
    # Given the kind too, SQLite would walk all that are of it.
    named = access.rows_in("SELECT kind, id FROM record WHERE first_position IN (", parents)
    sources = {public_id for kind, public_id in named if kind == "source"} | set(_held(access, "claim.via", claims))
    sources = _leading_to(access, "source", "derives_from", sources)
    entities = _leading_to(access, "entity", "part_of", set(_held(access, "claim.answer", claims)))
    around = _firsts(access, "source", sources) + _firsts(access, "entity", entities)
    return {*questions, *claims, *parents, *around}


def _parents(access: Reads, claims: Iterable[int]) -> list[int]:
    """Give the sources and questions of claims."""
    claims = list(claims)
    found = _numbers(access, "SELECT source FROM record WHERE source IS NOT NULL AND first_position IN (", claims)
    return found + list(_asked(access, claims))


def _asked(access: Reads, claims: Iterable[int]) -> set[int]:
    return set(
        _numbers(access, "SELECT question FROM record WHERE question IS NOT NULL AND first_position IN (", claims)
    )


def _linked(access: Reads, claims: Iterable[int]) -> set[int]:
    """Give the questions of all claims that these ever linked to."""
    return _asked(access, _firsts(access, "claim", _held(access, "claim.link", claims)))


def _led_to(access: Reads, field: str, ids: set[str]) -> set[str]:
    """Add to records all that ever led up to them by a field."""
    found, fresh = set(ids), set(ids)
    while fresh:
        firsts = _holding(access, field, fresh)
        fresh = set(_words(access, "SELECT id FROM record WHERE first_position IN (", firsts)) - found
        found |= fresh
    return found


def _leading_to(access: Reads, kind: str, field: str, ids: set[str]) -> set[str]:
    """Add to records of a kind all that they ever led up to by a field."""
    found, fresh = set(ids), set(ids)
    while fresh:
        fresh = set(_held(access, f"{kind}.{field}", _firsts(access, kind, fresh))) - found
        found |= fresh
    return found


def _firsts(access: Reads, kind: str, ids: Iterable[str]) -> list[int]:
    return _numbers(access, "SELECT first_position FROM record WHERE kind = ? AND id IN (", ids, kind)


def _holding(access: Reads, field: str, values: Iterable[str]) -> list[int]:
    """Give the records that hold, or ever held, one of the values in a field."""
    return _numbers(access, "SELECT DISTINCT first_position FROM term WHERE field = ? AND value IN (", values, field)


def _held(access: Reads, field: str, firsts: Iterable[int]) -> list[str]:
    """Give the values that records hold, or ever held, in a field."""
    # With one field alone SQLite would walk all the terms of it.
    sql = "SELECT DISTINCT value FROM term WHERE field IN (?, '') AND first_position IN ("
    return _words(access, sql, firsts, field)


def _numbers(access: Reads, sql: str, values: Iterable[Value], *first: Value) -> list[int]:
    return [row[0] for row in access.rows_in(sql, list(values), *first)]


def _words(access: Reads, sql: str, values: Iterable[Value], *first: Value) -> list[str]:
    return [row[0] for row in access.rows_in(sql, list(values), *first)]


def _copy_log(access: Access, small: Access, touched: Touched) -> None:
    """Copy the events of what weighs, and the redactions of it, into a ledger that is empty."""
    found = {row[0]: row for row in access.rows_in(_HISTORY, list(touched.weighing))}
    records = {row[_RECORD] for row in found.values()}
    found |= {row[0]: row for row in access.rows(_REDACTIONS) if _target(row[1]) in records}
    log = [_plain(found[position]) for position in sorted(found)]
    for statement in (*spelling.create((Event, Payload, *PROJECTIONS)), "CREATE TABLE search_index (tokens TEXT)"):
        small.run(statement)
    small.insert("event", _EVENT, [row[:-2] for row in log])
    small.insert("payload", _PAYLOAD, [(row[0], *row[-2:]) for row in log if row[-1] is not None])


def _target(entry: bytes) -> str | None:
    redacts = decode_own(bytes(entry)).redacts
    return redacts.record if redacts else None


def _indexed(access: Reads, kind: str, first: int) -> dict[int, str]:
    """Give the words that a record is made of, by the positions since which it is."""
    told = [(since, msgspec.json.decode(said)["state"]) for since, said in access.rows(_INDEXED, (first,))]
    found = ((since, findable.texts(kind, upcast(kind, state))) for since, state in told)
    return {since: findable.words(texts) for since, texts in found if texts is not None}


def _replace(access: Access, small: Access, table: str, column: str, values: Sequence[int]) -> bool:
    """Let the rows that hold one of the values in a column be those that the small ledger has, and touch no other.

    What changed in a row is changed in place, so that the rows beside it stay where they are in the files. Says whether
    anything did.
    """
    sql = f"SELECT {COLUMNS[table]} FROM {table} WHERE {column} IN ("
    count = _KEY_SIZE[table]
    old, new = ({row[:count]: row for row in map(_plain, each.rows_in(sql, values))} for each in (access, small))
    names = COLUMNS[table].split(", ")
    changed, keys = ", ".join(names[count:]), ", ".join(names[:count])
    access.delete(table, keys, [key for key in old if key not in new])
    differing = [(*row[count:], *key) for key, row in new.items() if key in old and old[key] != row]
    if differing:
        access.update(table, changed, keys, differing, where="TRUE")
    access.insert(table, COLUMNS[table], [row for key, row in new.items() if key not in old])
    return old != new


def _plain(row: Row) -> Row:
    return tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
