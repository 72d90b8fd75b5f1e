"""Questions: routes, and what the claims on one add up to."""

import msgspec
from msgspec import Raw, Struct

from api.domain.records.kinds import QUESTION
from api.ledger.reading import answers
from api.ledger.reading.selection import Selection
from api.routes.contract.contract import Contract
from api.routes.contract.params import (
    AnswersQuery,
    ConflictsQuery,
    DryRunQuery,
    HistoryQuery,
    NoQuery,
    QuestionListQuery,
    QuestionRecordQuery,
    RevisionDiffQuery,
)
from api.routes.edge.asked import MAY_COMPUTE, Asked, Posted
from api.routes.edge.operation import reads, writes
from api.routes.edge.paging import array_of, onward, send_page, send_shown
from api.routes.edge.reply import Reply
from api.routes.records import contracts, listing, memento, record, writing
from api.routes.records.listing import at_clocks, maps_of, texts_of, wanted_beside


@writes("/v1/questions", contracts.record("recordQuestion", QUESTION))
async def record_question(asked: Posted[DryRunQuery, Struct]) -> Reply:
    return await writing.record(asked, QUESTION)


@reads("/v1/questions", contracts.listing("listQuestions", QUESTION, QuestionListQuery))
async def list_questions(asked: Asked[QuestionListQuery]) -> Reply:
    return await listing.list_records(asked, QUESTION)


@reads("/v1/questions/{id:str}", contracts.read("getQuestion", QUESTION, QuestionRecordQuery))
async def get_question(asked: Asked[QuestionRecordQuery]) -> Reply:
    return await record.read(asked, QUESTION)


@writes("/v1/questions/{id:str}/revisions", contracts.revise("reviseQuestion", QUESTION))
async def revise_question(asked: Posted[DryRunQuery, Struct]) -> Reply:
    return await writing.revise(asked, QUESTION)


@reads("/v1/questions/{id:str}/revisions", contracts.history("listQuestionRevisions", QUESTION))
async def list_question_revisions(asked: Asked[HistoryQuery]) -> Reply:
    return await record.history(asked, QUESTION)


@reads("/v1/questions/{id:str}/revisions/{n:str}", contracts.revision("getQuestionRevision", QUESTION))
async def get_question_revision(asked: Asked[NoQuery]) -> Reply:
    return await record.revision(asked, QUESTION)


@reads("/v1/questions/{id:str}/diff", contracts.diff("diffQuestion", QUESTION))
async def diff_question(asked: Asked[RevisionDiffQuery]) -> Reply:
    return await record.diff(asked, QUESTION)


@reads("/v1/questions/{id:str}/timemap", contracts.timemap("getQuestionTimeMap", QUESTION))
async def get_question_timemap(asked: Asked[NoQuery]) -> Reply:
    return await memento.timemap(asked, QUESTION)


_ANSWERS = Contract(
    id="getQuestionAnswers",
    tag="questions",
    summary="See what the claims on a question add up to",
    description=(
        "Computed from the live claims at the three clocks: which agree, which conflict, and how many independent origins "
        "there are. The claims are paged: follow `next`. Of everything else there is a count, and the first hundred; "
        "`group` pages through the claims of one group, `/v1/questions/{id}/conflicts` through the pairs that conflict."
    ),
    query=AnswersQuery,
    headers=("If-None-Match",),
    returns="Answers",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
    gone=True,
    conflicts=True,
)
_CONFLICTS = Contract(
    id="listQuestionConflicts",
    tag="questions",
    summary="List the pairs of claims on a question that conflict",
    description="Each pair, and all of them, in the order of first recording.",
    query=ConflictsQuery,
    headers=("If-None-Match",),
    returns="ConflictPage",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
    gone=True,
    conflicts=True,
)


@reads("/v1/questions/{id:str}/answers", _ANSWERS)
async def get_question_answers(asked: Asked[AnswersQuery]) -> Reply:
    query = asked.query
    found = await asked.read_at(
        MAY_COMPUTE, answers.answers, asked.id, _of_question(asked), group=query.group, beside=wanted_beside(query)
    )
    page, following = found.page, onward(asked, found.page.at, found.page.last)
    shown = {**found.outline, "question": Raw(found.question), "group": query.group, "claims": array_of(page.items)}
    shown |= {"claim_count": found.claim_count, "source_count": found.source_count, **maps_of(found.beside)}
    return send_shown(asked, msgspec.json.encode(shown), page.at, following)


@reads("/v1/questions/{id:str}/conflicts", _CONFLICTS)
async def list_question_conflicts(asked: Asked[ConflictsQuery]) -> Reply:
    return send_page(asked, await asked.read_at(MAY_COMPUTE, answers.conflicts, asked.id, _of_question(asked)))


def _of_question(asked: Asked[AnswersQuery | ConflictsQuery]) -> Selection:
    """Select the claims on a question at the clocks that were asked for, and the part of them that is wanted."""
    query = asked.query
    chosen = Selection(kind="claim", asked=asked.as_of, limit=query.limit, cursor=query.cursor)
    return at_clocks(chosen, texts_of(query))


HANDLERS = (
    record_question,
    list_questions,
    get_question,
    revise_question,
    list_question_revisions,
    get_question_revision,
    diff_question,
    get_question_timemap,
    get_question_answers,
    list_question_conflicts,
)
