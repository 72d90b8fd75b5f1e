"""What one voice said over time, question by question: an entity as a speaker, or a source."""

from api.domain.records.kinds import CLAIM, ENTITY, SOURCE, Kind
from api.ledger.reading.selection import Selection
from api.ledger.reading.statements import Voice, statements
from api.routes.contract.contract import Contract
from api.routes.contract.params import StatementsQuery
from api.routes.edge.asked import COMPUTES, Asked
from api.routes.edge.operation import reads
from api.routes.edge.paging import send_page
from api.routes.edge.reply import Reply
from api.routes.records.listing import at_clocks, maps_of, texts_of, wanted_beside


def _contract(operation_id: str, kind: Kind, summary: str, voice: str) -> Contract[StatementsQuery]:
    return Contract(
        id=operation_id,
        tag=kind.plural,
        summary=summary,
        description=(
            f"The live claims {voice}, by when their sources were published (unknown last), with their questions; and which "
            "of its other claims each contradicts, by the rules of agreement."
        ),
        query=StatementsQuery,
        headers=("If-None-Match",),
        returns="StatementPage",
        answer_headers=("ETag", "Ledger-Position", "Link"),
        absent=True,
        gone=True,
        conflicts=True,
    )


_SPOKEN = _contract("listEntityStatements", ENTITY, "Read what it said over time", "that it makes as a speaker")
_WRITTEN = _contract("listSourceStatements", SOURCE, "Read what it says, question by question", "made in it")


@reads("/v1/entities/{id:str}/statements", _SPOKEN)
async def list_entity_statements(asked: Asked[StatementsQuery]) -> Reply:
    return await _statements(asked, ENTITY)


@reads("/v1/sources/{id:str}/statements", _WRITTEN)
async def list_source_statements(asked: Asked[StatementsQuery]) -> Reply:
    return await _statements(asked, SOURCE)


async def _statements(asked: Asked[StatementsQuery], kind: Kind) -> Reply:
    query, voice = asked.query, Voice(kind.name, asked.id)
    terms = [("question", each) for each in query.question]
    chosen = Selection(kind=CLAIM.name, asked=asked.as_of, terms=terms, limit=query.limit, cursor=query.cursor)
    page, found = await asked.read_at(
        COMPUTES, statements, voice, at_clocks(chosen, texts_of(query)), wanted_beside(query, "question")
    )
    return send_page(asked, page, maps_of(found))


HANDLERS = (list_entity_statements, list_source_statements)
