"""Questions from before they had `aliases` are read as if they had none; their payloads and entries stay as they were written."""

import json

import msgspec
import pytest

from api.ledger.projecting.rebuild import rebuild
from api.ledger.reading import feed, lists, views
from api.ledger.reading.selection import Selection
from tests.support.auditor import _projections
from tests.support.builders import a_question, an_entity, restore, retract, revise
from tests.support.long_ago import recorded_long_ago


@pytest.fixture
def old(writing):
    recorded_long_ago(writing, an_entity("parler"), a_question("old", about="parler", text="When?"))
    return writing


def stored(writing, position: int) -> tuple[dict, dict]:
    sql = "SELECT e.entry, p.payload FROM event e JOIN payload p ON p.position = e.position WHERE e.position = ?"
    [(entry, payload)] = writing.database.access().rows(sql, (position,))
    return json.loads(bytes(entry)), json.loads(bytes(payload))["state"]


def test_what_an_old_payload_lacks_is_shown_and_never_written_into_it(old):
    access = old.database.access()
    shown = views.current(access, "question", "old")
    assert msgspec.json.decode(shown.document)["aliases"] == []
    told = [msgspec.json.decode(item) for item in feed.follow(access, feed.Following(after=shown.position - 1)).items]
    assert told[0]["state"]["aliases"] == []
    assert told[0]["schema"] == 1
    assert lists.select(access, Selection(kind="question"))[1] == ["old"]
    before = _projections(access)
    rebuild(access)
    assert _projections(access) == before
    entry, state = stored(old, shown.position)
    assert entry["schema"] == 1
    assert "aliases" not in state


def test_an_old_question_is_gone_on_with_in_the_new_form(old):
    position = old.append(revise("question", "old", expect=1, aliases=["shutdown"])).position
    entry, state = stored(old, position)
    assert (entry["schema"], state["aliases"]) == (2, ["shutdown"])
    access = old.database.access()
    patch, _ = views.difference(access, "question", "old", old=1, new=2)
    assert msgspec.json.decode(patch) == [{"op": "add", "path": "/aliases/0", "value": "shutdown"}]
    old.append(retract("question", "old", expect=2), restore("question", "old", revision=1))
    assert msgspec.json.decode(views.current(access, "question", "old").document)["aliases"] == []
    assert stored(old, position + 2)[0]["schema"] == 2
    assert stored(old, old.append(an_entity("other")).position)[0]["schema"] == 1
