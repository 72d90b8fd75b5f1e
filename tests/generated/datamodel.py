"""Ask a ledger with the models that datamodel-code-generator makes, sent and read by httpx."""

import os

import httpx
from models import ClaimView, Entity, FeedItem, FeedPage, NewEntity, Problem, ReviseEntityAction, ShownTimeAnswer

KEY = {"Authorization": f"Bearer {os.environ['LEDGER_KEY']}"}
JSON = {"Content-Type": "application/json"}


def main() -> None:
    with httpx.Client(base_url=os.environ["LEDGER_ADDRESS"], headers=KEY) as client:
        claim = ClaimView.model_validate_json(client.get("/v1/claims/cherif-20210111--parler-offline-when").content)
        assert claim.answer is not None
        answer = claim.answer.root
        assert isinstance(answer, ShownTimeAnswer)

        page = FeedPage.model_validate_json(client.get("/v1/events?after=700&limit=100").content)
        kinds = {type(item.state).__name__ for item in page.items if isinstance(item, FeedItem)}

        new = NewEntity.model_validate({"id": "made-by-datamodel", "type": "other", "name": "Made by a client"})
        sent = new.model_dump_json(exclude_unset=True)
        recorded = client.post("/v1/entities", content=sent, headers=JSON).raise_for_status()
        entity = Entity.model_validate_json(recorded.content)

        action = ReviseEntityAction.model_validate(
            {"action": "revise", "reason": "A clearer name.", "changes": {"name": "Renamed"}}
        )
        stale = client.post(
            f"/v1/entities/{entity.id.root}/revisions",
            content=action.model_dump_json(exclude_unset=True),
            headers={**JSON, "If-Match": '"1"'},
        )
        assert stale.status_code == 412, stale.text
        problem = Problem.model_validate_json(stale.content)
        assert isinstance(problem.current, Entity)
    print(
        f"read ({answer.edtf} is {answer.bounds.start.earliest} at the earliest; {sorted(kinds)}), recorded {entity.id.root}, "
        f"{problem.status} {problem.type} (now {problem.current.type.root})"
    )


if __name__ == "__main__":
    main()
