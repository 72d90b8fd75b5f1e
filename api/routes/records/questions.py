"""Questions: routes."""

from litestar import get, post

from api.routes.contract.params import AnswersQuery, ConflictsQuery, QuestionListQuery
from api.routes.edge.operation import Answer, Asked, Contract, operation
from api.routes.records import contracts, records


@operation(post, "/v1/questions", contracts.record("recordQuestion", "question"))
async def record_question(asked: Asked) -> Answer:
    return await records.record(asked, "question")


@operation(get, "/v1/questions", contracts.listing("listQuestions", "question", QuestionListQuery))
async def list_questions(asked: Asked) -> Answer:
    return await records.list_records(asked, "question")


@operation(get, "/v1/questions/{id:str}", contracts.read("getQuestion", "question"))
async def get_question(asked: Asked) -> Answer:
    return await records.read(asked, "question")


@operation(post, "/v1/questions/{id:str}/revisions", contracts.revise("reviseQuestion", "question"))
async def revise_question(asked: Asked) -> Answer:
    return await records.revise(asked, "question")


@operation(get, "/v1/questions/{id:str}/revisions", contracts.history("listQuestionRevisions", "question"))
async def list_question_revisions(asked: Asked) -> Answer:
    return await records.history(asked, "question")


@operation(get, "/v1/questions/{id:str}/revisions/{n:str}", contracts.revision("getQuestionRevision", "question"))
async def get_question_revision(asked: Asked) -> Answer:
    return await records.revision(asked, "question")


@operation(get, "/v1/questions/{id:str}/diff", contracts.diff("diffQuestion", "question"))
async def diff_question(asked: Asked) -> Answer:
    return await records.diff(asked, "question")


@operation(get, "/v1/questions/{id:str}/timemap", contracts.timemap("getQuestionTimeMap", "question"))
async def get_question_timemap(asked: Asked) -> Answer:
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


@operation(get, "/v1/questions/{id:str}/answers", _ANSWERS)
async def get_question_answers(asked: Asked) -> Answer:
    return await records.send_answers(asked)


@operation(get, "/v1/questions/{id:str}/conflicts", _CONFLICTS)
async def list_question_conflicts(asked: Asked) -> Answer:
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
