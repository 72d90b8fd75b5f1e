"""Redaction over HTTP: who may, what is refused, what is gone, and what stays."""

from tests.builders import a_claim, an_id, revise
from tests.served import Served, refused

WHY = {"basis": "data-protection", "reason": "Order 12/3"}


def test_thin(ground: Served) -> None:
    claim = an_id("c")
    ground.append(a_claim(claim, source="paper", question="q-time", note="zyxw-secret"), revise("claim", claim, expect=None, note="other"))
    response = ground.post("/v1/redactions", {"kind": "claim", "id": claim, "first": 1, "last": 1, **WHY})
    assert response.status_code == 201, response.text
    print(response.json(), response.headers)
    refused(ground.get(f"/v1/claims/{claim}/revisions/1"), 410, "redacted")
    print(ground.get(f"/v1/claims/{claim}/revisions").json())
    response = ground.post("/v1/redactions", {"kind": "claim", "id": claim, **WHY})
    print(response.json())
    refused(ground.get(f"/v1/claims/{claim}"), 410, "redacted")
    print(ground.get("/v1/redactions").json())
    print(ground.get(f"/v1/events?after={ground.head() - 5}").json())
