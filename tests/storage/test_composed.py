"""Composed queries: one text for each shape, whatever the values; few texts for lists; and tables in the order that is meant."""

from dataclasses import replace
from itertools import combinations, product

import pytest
import sqlalchemy as sa

from api.domain.dates import edtf
from api.ledger.reading import lists
from api.ledger.reading.composed import Composed, Led, Texts, given, record, term
from api.ledger.reading.selection import Selection, Window, narrowed
from api.ledger.storage.reads import BRIEF, TakesLong
from tests.support import histories
from tests.support.databases import is_sqlite

PLAIN = Selection(kind="claim")
FILTERS = {
    "parent_terms": [("source", "publisher", "amazon"), ("question", "about", "parler")],
    "ids": ["c0", "c1", "c2", "c5"],
    "words": ("offline",),
    "is_live": False,
    "published": [Window(), Window()],
    "published_by": edtf.as_deadline("2021-01-11"),
    "valid": [Window()],
    "valid_at": edtf.as_extent("2021-01-10"),
}
TERMS = (
    (),
    (("stance", "asserts"),),
    (("entity", "aws"),),
    (("question", "when"), ("status", "asserted")),
    (("stance", "asserts"), ("stance", "denies"), ("stance", "asserts")),
    (("question", "when"), ("question", "who"), ("status", "asserted"), ("status", "retracted")),
)
ORDERS = ("recorded", "-recorded", "revised", "-revised", "published", "-published")


@pytest.fixture
def access(writing):
    writing.append(*histories.ground())
    return writing.database.access()


def _chosen(names, terms=(), order="recorded"):
    return replace(PLAIN, terms=terms, order=order, **{name: FILTERS[name] for name in names})


def _text(access, chosen):
    return narrowed(access, chosen, 9).query(access, lists._in_order, chosen.order, False, limit=chosen.limit)


def test_filters_together_show_what_each_of_them_shows(access):
    def shown(*given):
        return set(lists.select(access, _chosen(*given))[1])

    alone = {name: shown([name]) for name in FILTERS}
    assert len({frozenset(each) for each in alone.values()}) > 4
    shapes = [
        (names, terms, order)
        for names in ((), *combinations(FILTERS, 1), FILTERS)
        for terms, order in product(TERMS, ORDERS)
    ]
    shapes += [(names, (), "recorded") for names in combinations(FILTERS, 2)]
    for names, terms, order in shapes:
        assert shown(names, terms, order) == shown((), terms).intersection(*(alone[name] for name in names)), (
            names,
            terms,
        )


def test_no_value_is_part_of_a_text(access):
    chosen = _chosen(FILTERS, (("stance", "s'x"), ("entity", "e'x")))
    one = replace(
        chosen, ids=["i'x"], words=(("wx",),), agreement=("a'x",), parent_terms=[("source", "publisher", "p'x")]
    )
    other = replace(
        chosen, ids=["j"], words=(("w", "v"),), agreement=("b",), parent_terms=[("question", "about", "p")], limit=9
    )
    other = replace(other, parent_terms=[("source", "language", "p")], terms=(("stance", "y"), ("entity", "z")))
    (text, values), (same, _) = _text(access, one), _text(access, other)
    assert text == same
    assert "x'" not in text
    assert {"s'x", "e'x", "i'x", "a'x", "p'x"} <= set(values)


def test_lists_of_any_length_share_a_few_texts(access):
    ids = [f"c{number}" for number in range(200)]
    asked = [_text(access, replace(PLAIN, ids=ids[:count])) for count in range(1, 201)]
    assert len({text for text, _ in asked}) == 9
    assert all(text.count("?") == len(values) for text, values in asked)
    for count in range(1, 7):
        assert lists.select(access, replace(PLAIN, ids=ids[:count]))[1] == ids[:count]


def test_values_of_one_filter_share_a_few_texts_however_many_they_are(access):
    for terms in ("terms", "parent_terms"):
        name = ("speaker",) if terms == "terms" else ("source", "publisher")
        asked = [
            _text(access, replace(PLAIN, **{terms: [(*name, f"v{number}") for number in range(count)]}))
            for count in range(1, 51)
        ]
        # One alone, and then two, four, eight and so on.
        assert len({text for text, _ in asked}) == 7
        assert all(text.count("?") == len(values) for text, values in asked)


def test_a_value_given_again_changes_nothing(access):
    once, twice = (_text(access, replace(PLAIN, terms=[("stance", "asserts")] * count)) for count in (1, 2))
    assert once == twice


def test_so_many_texts_are_kept_and_the_oldest_is_forgotten(access):
    texts, made = Texts(3), []
    for count in (1, 2, 3, 1, 4):
        chosen = replace(PLAIN, valid=[Window()] * count)
        narrowing = narrowed(access, chosen, 9)
        sizes = tuple((name, 1) for name in (*narrowing._values, "limit"))
        shape = (
            access.dialect,
            lists._in_order,
            narrowing.walk,
            ("recorded", False),
            tuple(narrowing._conditions),
            sizes,
        )
        made.append((shape, texts.make(shape)))
    assert made[0] == made[3]
    assert len(texts) == 3
    assert [texts.get(shape) is not None for shape, _ in made] == [False, True, True, False, True]


def test_a_text_is_not_made_in_the_event_loop(access):
    chosen = replace(PLAIN, valid=[Window()] * 11)
    access.steps_left = BRIEF
    with pytest.raises(TakesLong):
        _text(access, chosen)
    access.steps_left = None
    _text(access, chosen)
    access.steps_left = BRIEF
    _text(access, chosen)


def test_a_column_that_is_not_there_is_noticed_when_a_query_is_composed():
    with pytest.raises(AttributeError):
        record.c.first_postion  # noqa: B018 - to look is to ask


def test_the_table_that_is_to_lead_leads_on_sqlite_though_another_would_be_faster(access):
    if not is_sqlite(access):
        pytest.skip("PostgreSQL's planner chooses by itself")
    is_one = sa.and_(
        record.c.first_position == term.c.first_position, record.c.kind == "claim", record.c.id == given("id")
    )
    for tables, leading in ((Led(term, record), "t"), (term.join(record, sa.true()), "r")):
        sql, values = Composed(sa.select(record.c.id).select_from(tables).where(is_one))(access, id="c0")
        assert access.rows(f"EXPLAIN QUERY PLAN {sql}", values)[0][3].split()[1] == leading
