"""Ask a ledger with the client that openapi-python-client makes."""

import os

from python import AuthenticatedClient
from python.api.claims import get_claim, list_claims
from python.api.entities import record_entity, revise_entity
from python.api.events import list_events
from python.models import (
    ClaimPage,
    ClaimView,
    Entity,
    EntityChanges,
    FeedItem,
    FeedPage,
    NewEntity,
    Problem,
    ReviseEntityAction,
    ShownTimeAnswer,
)
from python.models.entity_type import EntityType


def main() -> None:
    client = AuthenticatedClient(base_url=os.environ["LEDGER_ADDRESS"], token=os.environ["LEDGER_KEY"])
    claim = get_claim.sync("cherif-20210111--parler-offline-when", client=client)
    assert isinstance(claim, ClaimView)
    assert isinstance(claim.answer, ShownTimeAnswer)

    page = list_events.sync(client=client, after="700", limit=100)
    assert isinstance(page, FeedPage)
    kinds = {type(item.state).__name__ for item in page.items if isinstance(item, FeedItem)}

    bare = list_events.sync(client=client, after="700", limit=1, state=False)
    assert isinstance(bare, FeedPage)
    assert isinstance(bare.items[0], FeedItem)
    assert not bare.items[0].state
    claims = list_claims.sync(client=client, id=[claim.id], live=[True])
    assert isinstance(claims, ClaimPage)
    assert [each.id for each in claims.items] == [claim.id]

    new = NewEntity(id="made-by-openapi-python-client", type_=EntityType.OTHER, name="Made by a client")
    tried = record_entity.sync_detailed(client=client, body=new, dry_run=True)
    assert tried.status_code == 200, tried
    entity = record_entity.sync(client=client, body=new)
    assert isinstance(entity, Entity)

    action = ReviseEntityAction(action="revise", reason="A clearer name.", changes=EntityChanges(name="Renamed"))
    stale = revise_entity.sync_detailed(entity.id, client=client, body=action, if_match='"1"')
    assert stale.status_code == 412, stale
    assert isinstance(stale.parsed, Problem)
    assert isinstance(stale.parsed.current, Entity)
    print(
        f"read ({claim.answer.edtf} is {claim.answer.bounds.start.earliest} at the earliest; {sorted(kinds)}), recorded {entity.id}, "
        f"{stale.parsed.status} {stale.parsed.type_} (now {stale.parsed.current.type_})"
    )


if __name__ == "__main__":
    main()
