"""What the router remembers of the paths it was asked for: many short ones, and none that a stranger makes long."""

import pytest
from litestar import Litestar, Request, get
from litestar.exceptions import MethodNotAllowedException, NotFoundException

from api.routes.edge.edge import remember_routes


@get("/things/{id:str}")
async def get_thing(request: Request) -> str:
    return request.path_params["id"]


@pytest.fixture
def find():
    app = Litestar([get_thing], openapi_config=None)
    remember_routes(app)
    return app.asgi_router.handle_routing


@pytest.mark.parametrize(("name", "is_remembered"), [("a", True), ("b" * 1_000, False)])
def test_a_path_is_found_again_as_it_was(find, name, is_remembered):
    first, again = (find(path=f"/things/{name}", method="GET") for _ in range(2))
    assert first == again
    assert first[3] == {"id": name}
    assert (first is again) is is_remembered


def test_more_paths_are_remembered_than_the_framework_would(find):
    first = [find(path=f"/things/{number}", method="GET") for number in range(3_000)]
    assert all(find(path=f"/things/{number}", method="GET") is first[number] for number in range(3_000))


def test_what_is_not_there_stays_so(find):
    for _ in range(2):
        with pytest.raises(NotFoundException):
            find(path="/others", method="GET")
        with pytest.raises(MethodNotAllowedException):
            find(path="/things/a", method="PUT")
