"""What the writer knows of the present, and what it costs to know it."""

from api.ledger.database import Access, Database
from api.ledger.present import Present
from tests.builders import a_claim, a_question, a_source, an_entity
from tests.watched import Watched, effort

QUESTIONS = [f"q{number}" for number in range(50)]


def test_what_is_known_of_questions_costs_the_same_however_large_the_ledger_is(writing):
    writing.append(an_entity("parler"), a_source("paper"), *(a_question(name, about="parler") for name in QUESTIONS))
    writing.append(*(a_claim(source="paper", question=name) for name in QUESTIONS for _ in range(2)))
    before = _cost_to_know(writing.database)
    writing.append(*(an_entity() for _ in range(4_000)))
    # Nobody has told PostgreSQL's planner yet how much is there.
    assert _cost_to_know(writing.database) <= 1.2 * before + 40


def _cost_to_know(database: Database) -> int:
    access = Watched(database)
    _look(access)
    cost = effort(access, _look)
    access.close()
    return cost


def _look(access: Access) -> None:
    Present(access, lambda: None, 1_000).read_questions(QUESTIONS)
