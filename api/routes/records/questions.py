"""Questions: routes."""

from msgspec import Struct

from api.routes.contract.contract import Contract
from api.routes.contract.params import (
    AnswersQuery,
    ConflictsQuery,
    HistoryQuery,
    NoQuery,
    QuestionListQuery,
    RecordQuery,
    RevisionDiffQuery,
)
from api.routes.edge.asked import Asked, Posted
from api.routes.edge.operation import reads, writes
from api.routes.edge.reply import Reply
from api.routes.records import contracts, records


@writes("/v1/questions", contracts.record("recordQuestion", "question"))
async def record_question(asked: Posted[NoQuery, Struct]) -> Reply:
    return await records.record(asked, "question")


@reads("/v1/questions", contracts.listing("listQuestions", "question", QuestionListQuery))
async def list_questions(asked: Asked[QuestionListQuery]) -> Reply:
    return await records.list_records(asked, "question")


@reads("/v1/questions/{id:str}", contracts.read("getQuestion", "question", RecordQuery))
async def get_question(asked: Asked[RecordQuery]) -> Reply:
    return await records.read(asked, "question")


@writes("/v1/questions/{id:str}/revisions", contracts.revise("reviseQuestion", "question"))
async def revise_question(asked: Posted[NoQuery, Struct]) -> Reply:
    return await records.revise(asked, "question")


@reads("/v1/questions/{id:str}/revisions", contracts.history("listQuestionRevisions", "question"))
async def list_question_revisions(asked: Asked[HistoryQuery]) -> Reply:
    return await records.history(asked, "question")


@reads("/v1/questions/{id:str}/revisions/{n:str}", contracts.revision("getQuestionRevision", "question"))
async def get_question_revision(asked: Asked[NoQuery]) -> Reply:
    return await records.revision(asked, "question")


@reads("/v1/questions/{id:str}/diff", contracts.diff("diffQuestion", "question"))
async def diff_question(asked: Asked[RevisionDiffQuery]) -> Reply:
    return await records.diff(asked, "question")


@reads("/v1/questions/{id:str}/timemap", contracts.timemap("getQuestionTimeMap", "question"))
async def get_question_timemap(asked: Asked[NoQuery]) -> Reply:
    return await records.timemap(asked, "question")


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
    return await records.send_answers(asked)


@reads("/v1/questions/{id:str}/conflicts", _CONFLICTS)
async def list_question_conflicts(asked: Asked[ConflictsQuery]) -> Reply:
    return await records.send_conflicts(asked)


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
