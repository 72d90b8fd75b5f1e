"""What is said of a body that the contract forbids: where, and by which rule, in words that can be read."""

import json

import pytest

from api.domain.errors import BadBody
from api.domain.records.operation import NEW, decode_body

CLAIM = {"source": "s", "question": "q", "statement": "x"}
ENTITY = {"type": "platform", "name": "Parler"}
SOURCE = {"type": "article", "title": "An article"}
FORM = "not of the form that the contract gives"


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("entity", {"type": "platform"}, "/name: is required"),
        ("entity", {**ENTITY, "nam": 1}, "/nam: unknown field"),
        ("entity", {**ENTITY, "type": "x"}, "/type: not one of the values that the contract names"),
        ("entity", {**ENTITY, "name": 5}, "/name: Expected `str`, got `int`"),
        ("entity", {**ENTITY, "id": "UPPER"}, f"/id: {FORM}: ^[a-z0-9][a-z0-9-]{{0,99}}$"),
        ("entity", {**ENTITY, "name": "a\0"}, rf"/name: {FORM}: ^[^\u0000]*$"),
        ("source", {**SOURCE, "captures": [{"sha256": "00", "bytes": 1, "completeness": "full"}]}, f"/captures/0/sha256: {FORM}: ^[0-9a-f]{{64}}$"),
        ("source", {**SOURCE, "url": "ftp://x"}, f"/url: {FORM}"),
        ("claim", {**CLAIM, "answer": {"type": "quantity", "amount": "007", "unit": "users"}}, rf"/answer/amount: {FORM}: ^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$"),
    ],
)  # fmt: skip
def test_a_rule_is_told_with_its_place_and_a_short_form(kind: str, body: dict[str, object], said: str) -> None:
    with pytest.raises(BadBody) as refused:
        decode_body(json.dumps(body).encode(), NEW[kind])
    assert str(refused.value) == said
