"""What a voice says against itself: of its own claims on one question which conflict, by the rules of agreement."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from api.domain.agreement.agreement import Claim, Context, Foreign, Ids, tabulate


@dataclass(frozen=True, slots=True)
class Against:
    """Those of the claims that one conflicts with, in the order of first recording; and what corrects or supersedes it."""

    conflicts: Sequence[str]
    superseded_by: tuple[str, ...]


def against(
    varies: bool, claims: Sequence[Claim], context: Context, foreign_links: Foreign, wanted: Collection[str]
) -> dict[str, Against]:
    """Give for the wanted ones among some claims on a question which of the others each conflicts with.

    Whether two conflict depends on these two alone, and on whether both count: so the same is said of them as among all
    claims on the question, if `foreign_links` hold those that all other live claims make to these.
    """
    ordered = sorted(claims, key=lambda claim: (claim.first_position, claim.id))
    table = tabulate(ordered, context, foreign_links, varies=varies)
    found = {}
    for i, claim in enumerate(ordered):
        if claim.id in wanted:
            conflicting = table.conflicts(i) & table.counting if table.counting >> i & 1 else 0
            found[claim.id] = Against(Ids(ordered, conflicting), table.replaced.get(i, ()))
    return found
