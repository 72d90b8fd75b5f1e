"""The services that operations reach: made once by `app`, handed on with each request, never global."""

from dataclasses import dataclass

from api.ledger.keeping.pulse import Pulse
from api.ledger.keeping.watch import Watch
from api.ledger.signing.checkpoints import Checkpoints
from api.ledger.storage.database import Database
from api.ledger.writing.ledger import Ledger
from api.routes.edge.bodies import Bodies
from api.routes.edge.exchange import PlainRequest
from api.routes.edge.keyring import Keyring
from api.routes.edge.limits import RateLimits
from api.routes.edge.negotiation import Encoders
from api.routes.edge.waiting import Followers, Lines, Turns
from api.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """Everything there is one of in a process that serves."""

    settings: Settings
    database: Database
    ledger: Ledger
    checkpoints: Checkpoints
    watch: Watch
    keyring: Keyring
    limits: RateLimits
    bodies: Bodies
    encoders: Encoders
    turns: Turns
    lines: Lines
    pulse: Pulse
    followers: Followers
    origin: str
    # When the log's first event was recorded.
    begun: str

    def close(self) -> None:
        """Close what was opened here, and wait for what is under way in threads."""
        self.bodies.close()
        self.encoders.close()
        self.database.close()

    async def check_ready(self) -> None:
        """Raise what keeps this node from serving all that it is for: damage, a log that was not signed, a full disk."""
        self.checkpoints.check_ready()
        if not self.settings.read_only:
            await self.ledger.check_writable()


def services_of(request: PlainRequest) -> Services:
    """Give the services of the process that a request came to."""
    services: Services = request.app.state.services
    return services
