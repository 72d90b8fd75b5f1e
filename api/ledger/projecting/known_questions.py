"""The writer's memory of questions: the last state of agreement, and, where it may yet turn, the claims it is made of.

As the memory of records it holds from one transaction to the next. To ask it writes nothing; what it weighs anew it counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TypedDict

from api.domain.agreement import agreement
from api.domain.agreement.tally import Effort
from api.domain.records.record import Record, State
from api.ledger.projecting.followed import Around, Followed, replaces_since, surround
from api.ledger.projecting.known_records import KnownRecords
from api.ledger.projecting.overlay import Overlay
from api.ledger.projecting.weighed import WEIGHED, WeighedClaim, read_links, weighed_payload, weighed_state
from api.ledger.storage.reads import Reads
from api.ledger.storage.tables import FOREVER

# A claim on a question that was read takes about a tenth of what a record takes.
_CLAIMS_TO_A_RECORD = 10
_LINKING = (
    # CROSS JOIN keeps SQLite from walking all the links there are; PostgreSQL takes it for an inner join.
    "SELECT c.id, l.id FROM record c CROSS JOIN term t JOIN record l ON l.first_position = t.first_position"
    f" WHERE t.field = 'claim.link' AND t.value = c.id AND t.until = {FOREVER} AND c.question IN ("
)
_CLAIMS = (
    "SELECT r.first_position, p.payload FROM record r JOIN payload p ON p.position = r.position WHERE r.question IN ("
)
_ANSWERED = "SELECT r.id FROM record r JOIN payload p ON p.position = r.position WHERE r.question = ? LIMIT ?"
_STATE = f"SELECT state FROM agreement WHERE question = ? AND until = {FOREVER}"
_STATES = f"SELECT r.id, g.state FROM agreement g JOIN record r ON r.first_position = g.question WHERE g.until = {FOREVER} AND g.question IN ("


class KnownQuestions:
    """Questions by their ids. `effort` counts the claims that were weighed anew."""

    def __init__(self, access: Reads, records: KnownRecords, pending: Overlay, most_remembered: int) -> None:
        self._access, self._records, self._pending = access, records, pending
        self.effort = Effort()
        # Those that were read, those used last at the end; redacted claims are on none.
        self._followed: dict[str, Followed] = {}
        # Those counted up since anything was last forgotten.
        self._counted: list[Followed] = []
        # Every state that is pending is here: states are forgotten only when nothing is.
        self._states: dict[str, str | None] = {}
        self._most_kept = _CLAIMS_TO_A_RECORD * most_remembered
        # At least as much as is kept of those followed, in claims, and from when on some are forgotten.
        self._kept_count, self._kept_at_most = 0, self._most_kept

    def forget(self) -> None:
        self._followed.clear()
        self._counted.clear()
        self._states.clear()
        self._kept_count = 0

    def forget_if_many(self) -> None:
        """Forget some, when nothing is pending."""
        for followed in self._counted:
            followed.rest()
        self._counted.clear()
        if len(self._states) > self._most_kept:
            self.forget()
        if self._kept_count > self._kept_at_most:
            self._forget_long_unused()

    def _forget_long_unused(self) -> None:
        """Forget half of what is kept, but for the question that was used last: it is large, perhaps."""
        sizes = {question: len(followed) for question, followed in self._followed.items()}
        kept = sum(sizes.values())
        while kept > self._most_kept // 2 and len(self._followed) > 1:
            question = next(iter(self._followed))
            kept -= sizes[question]
            del self._followed[question]
        self._kept_count, self._kept_at_most = kept, max(self._most_kept, 2 * kept)

    def read(self, wanted: Iterable[str]) -> None:
        """Read what agreement on questions needs, in few statements: the last state, and the claims, unless they dispute."""
        found = (self._records.find("question", name) for name in wanted)
        asked = [question for question in found if question is not None]
        unknown = {question.first_position: question.id for question in asked if question.id not in self._states}
        self._states.update(dict.fromkeys(unknown.values()))
        self._states.update(self._access.rows_in(_STATES, list(unknown)))
        self._read_claims(
            [each for each in asked if each.id not in self._followed and self._states[each.id] != "disputed"]
        )

    def _read_claims(self, questions: list[Record]) -> None:
        """Read the claims on questions, and in one statement more who links to them."""
        firsts = [question.first_position for question in questions]
        found: dict[str, dict[str, WeighedClaim]] = {question.id: {} for question in questions}
        for first_position, payload in self._access.rows_in(_CLAIMS, firsts):
            read = weighed_payload(first_position, payload)
            found[read.claim.question][read.claim.id] = read
        linking: dict[str, set[str]] = {}
        for claim_id, maker in (*self._access.rows_in(_LINKING, firsts), *self._pending.links()):
            linking.setdefault(claim_id, set()).add(maker)
        self._records.read(("claim", maker) for makers in linking.values() for maker in makers)
        for question in questions:
            claims = found[question.id]
            for record in self._pending.claims_on(question.id).values():
                claims.pop(record.id, None)
                if not record.is_redacted:
                    claims[record.id] = _weighed(record)
            self._follow(question, claims, {each: linking[each] for each in claims.keys() & linking.keys()})

    def _follow(self, question: Record, claims: Mapping[str, WeighedClaim], linking: Mapping[str, set[str]]) -> None:
        followed = self._followed[question.id] = Followed(
            partial(self._is_in_force, "source"), self._surround, self.effort, **_own(question)
        )
        for public_id, one in claims.items():
            followed.put(None, one, is_apart=public_id in linking)
        for claim_id in sorted(linking):
            self._let_replace(followed, claim_id, linking[claim_id])
        self._kept_count += len(followed)

    def _let_replace(self, followed: Followed, claim_id: str, makers: Iterable[str]) -> None:
        for maker in sorted(makers):
            record = self._records.find("claim", maker)
            links = read_links(record.state) if record is not None and self._is_live(record) else ()
            followed.replace(claim_id, maker, replaces_since(links, claim_id))

    def _is_live(self, claim: Record) -> bool:
        """Say whether a claim is in force: itself, its source and its question."""
        return claim.is_asserted and all(self._is_in_force(*parent) for parent in parents(claim.state))

    def is_answered(self, question: str) -> bool:
        """Say whether a question has claims, retracted or not."""
        followed, pending = self._followed.get(question), self._pending.claims_on(question)
        if followed is not None:
            return followed.claim_count > 0
        if any(not record.is_redacted for record in pending.values()):
            return True
        asked = self._records.find("question", question)
        rows = self._access.rows(_ANSWERED, (asked.first_position, len(pending) + 1)) if asked is not None else []
        return any(public_id not in pending for (public_id,) in rows)

    def put(self, before: Record | None, after: Record) -> bool:
        """Let a record stand as it now is. Says whether agreement on the question it is or answers may have changed."""
        if after.kind == "question" and before is None:
            self._states[after.id] = None
            self._follow(after, {}, {})
        # Of a redacted claim perhaps nothing is left that tells what it answered: then it is on no question.
        if after.kind == "claim" and "question" in after.state:
            return self._put_claim(before, after)
        return True

    def _put_claim(self, before: Record | None, after: Record) -> bool:
        old = None if before is None or before.is_redacted else before
        new = None if after.is_redacted else after
        if old is not None and new is not None and all(old.state[field] == new.state[field] for field in WEIGHED):
            return False
        if old is None and new is None:
            return False
        followed, may_differ = self._use(after.state["question"]), True
        if followed is not None:
            may_differ = followed.put(
                _weighed(old) if old is not None else None, _weighed(new) if new is not None else None
            )
            self._kept_count += 1
            if before is not None and old is None and new is not None:
                may_differ |= self._link_back(followed, new)
        targets = [link["claim"] for each in (old, new) if each is not None for link in each.state["links"]]
        for target in dict.fromkeys(targets):
            self._link(after, target)
        return may_differ

    def _link_back(self, followed: Followed, claim: Record) -> bool:
        """Let others say of a claim what they said while its revision was redacted, and its question not known."""
        makers = self._records.naming("claim", "link", {claim.id})
        if makers:
            followed.set_apart(_weighed(claim))
            self._let_replace(followed, claim.id, makers)
        return bool(makers)

    def _link(self, maker: Record, target: str) -> None:
        """Let a claim say of another what it now says, where that one's question is followed."""
        linked = self._records.find("claim", target)
        if linked is None or linked.is_redacted:
            return
        followed = self._use(linked.state["question"])
        if followed is not None:
            followed.set_apart(_weighed(linked))
            self._let_replace(followed, target, [maker.id])
            self._kept_count += 1

    def _use(self, question: str) -> Followed | None:
        """Give a question that is followed, and let it be the last to be forgotten."""
        followed = self._followed.pop(question, None)
        if followed is not None:
            self._followed[question] = followed
        return followed

    def _know(self, question: Record) -> Followed:
        if question.id not in self._followed:
            self._read_claims([question])
        return self._followed[question.id]

    def links_from(self, question: Record) -> list[str]:
        """Give the claims that those on a question link to."""
        return [link.claim for _, link in self._know(question).links()]

    def state_of_agreement(self, question: Record) -> str | None:
        """Give the last state noted; None where none is."""
        if question.id not in self._states:
            row = self._access.row(_STATE, (question.first_position,))
            self._states[question.id] = row[0] if row else None
        return self._states[question.id]

    def note_state(self, question: str, state: str | None) -> None:
        self._states[question] = state

    def fold(self, question: Record, *, is_anew: bool) -> str | None:
        """Give the state of agreement on a question; a redacted one has none.

        `is_anew` where something around its claims may have changed: their source, what entities are part of, the
        question itself, or whether claims that link to them are in force.
        """
        if question.is_redacted:
            return None
        followed = self._use(question.id)
        if followed is None:
            followed = self._know(question)
            self.effort.claims += followed.claim_count if is_anew else 0
        elif is_anew:
            followed.begin(**_own(question))
            for claim_id, makers in followed.makers().items():
                self._let_replace(followed, claim_id, makers)
        if not followed.is_counted:
            self._counted.append(followed)
            self._records.read(("source", source) for source in followed.sources())
        return followed.state

    def _is_in_force(self, kind: str, public_id: str) -> bool:
        found = self._records.find(kind, public_id)
        return found is not None and found.is_asserted

    def _surround(self, around: Around, claim: agreement.Claim) -> None:
        surround(around, claim, self._state)

    def _state(self, kind: str, public_id: str) -> State | None:
        found = self._records.find(kind, public_id)
        return found.state if found and not found.is_redacted else None


class _Own(TypedDict):
    """What of a question's own state agreement on it depends on."""

    is_asserted: bool
    varies: bool


def _own(question: Record) -> _Own:
    return _Own(is_asserted=question.is_asserted, varies=bool(question.state.get("varies")))


def _weighed(claim: Record) -> WeighedClaim:
    return weighed_state(claim.first_position, claim.state)


def parents(claim: State) -> Iterator[tuple[str, str]]:
    """Name what a claim was taken from and what it answers."""
    yield "source", claim["source"]
    yield "question", claim["question"]
