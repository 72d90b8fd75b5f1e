"""One shape for every refusal, whichever route makes it; every error has its type, and every type is explained."""

import re

import httpx
import pytest
from litestar.routes import HTTPRoute

from api.domain import errors
from api.routes.contract.contract import Contract, PostContract
from api.routes.edge import problems, query
from tests.support.builders import an_entity
from tests.support.served import Served, refused

WRONG_KEY = f"dl_{'0' * 12}_{'A' * 43}"
IN_PATH = {
    "id": "nobody-has-this",
    "n": "1",
    "position": "1",
    "actor": "00000000-0000-4000-8000-000000000000",
    "slug": "stale",
}
MALFORMED = {"id": "NOT_AN_ID", "n": "first", "position": "0", "actor": "somebody", "slug": "No%20slug"}


def _operations(served: Served) -> list[tuple[str, str, Contract]]:
    found = []
    for route in served.app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if "contract" in handler.opt:
                method = next(iter(handler.http_methods - {"OPTIONS"}))
                found.append((method, route.path_format, handler.opt["contract"]))
    return found


def _send(served: Served, method: str, path: str, contract: Contract, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(contract, PostContract):
        sent.setdefault("Content-Type", "application/json")
    content = b"[]" if isinstance(contract, PostContract) else None
    return served.client.request(method, path, content=content, headers=sent)


def _filled(path: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: values[name[1]], path)


def test_there_are_operations_to_test(served: Served) -> None:
    assert len(_operations(served)) > 40


def test_every_operation_refuses_a_wrong_key(served: Served) -> None:
    for method, path, contract in _operations(served):
        if contract.always_open:
            continue
        url = _filled(path, IN_PATH)
        for wrong in (f"Bearer {WRONG_KEY}", f"Bearer {served.key}x", "Bearer", "Basic YTpi", served.key, ""):
            response = _send(served, method, url, contract, Authorization=wrong)
            refused(response, 401, "unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer ")


def test_every_operation_refuses_parameters_it_does_not_know(served: Served) -> None:
    for method, path, contract in _operations(served):
        problem = refused(
            _send(served, method, f"{_filled(path, IN_PATH)}?made_up=s3cret", contract), 400, "bad-parameter"
        )
        assert "s3cret" not in str(problem)


def test_every_operation_refuses_a_parameter_given_twice(served: Served) -> None:
    for method, path, contract in _operations(served):
        for name in contract.query.__struct_encode_fields__:
            if name not in query._repeatable(contract.query):
                url = f"{_filled(path, IN_PATH)}?{name}=1&{name}=1"
                refused(_send(served, method, url, contract), 400, "bad-parameter", parameter=name)


def test_every_operation_refuses_a_query_that_is_not_utf_8_or_too_long(served: Served) -> None:
    for method, path, contract in _operations(served):
        for text in ("a=%FF", "%C3=1", "&".join(f"id={n}" for n in range(301))):
            refused(_send(served, method, f"{_filled(path, IN_PATH)}?{text}", contract), 400, "bad-parameter")


def test_every_operation_refuses_types_it_does_not_offer(served: Served) -> None:
    for method, path, contract in _operations(served):
        for accept in ("image/png", "text/markdown;q=1", "application/json;q=0, */*;q=0", "garbage"):
            refused(_send(served, method, _filled(path, IN_PATH), contract, Accept=accept), 406, "not-acceptable")


@pytest.mark.parametrize(
    "accept",
    ["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "*", "*;q=0.1234", '*/*;q="0.5"', "*/*;q=high", ", ,"],
)
def test_every_operation_understands_accept_as_clients_send_it(served: Served, accept: str) -> None:
    for method, path, contract in _operations(served):
        assert _send(served, method, _filled(path, IN_PATH), contract, Accept=accept).status_code != 406, path


def test_every_path_refuses_other_methods_and_says_which_it_takes(served: Served) -> None:
    operations = _operations(served)
    for _, path, _ in operations:
        taken = {method for method, other, _ in operations if other == path} | {"OPTIONS"}
        taken |= {"HEAD"} if "GET" in taken else set()
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - taken:
            response = served.client.request(method, _filled(path, IN_PATH))
            refused(response, 405, "method-not-allowed")
            assert set(response.headers["allow"].split(", ")) == taken


def test_every_path_with_an_id_refuses_a_malformed_one(served: Served) -> None:
    bad = {"id": ["A", "a_b", "-a", "a" * 101, "%00", "%0A", "%C3%A9", "%FF", "a%0A", "a b", "%F0%9F%92%A9", "null."]}
    for method, path, contract in _operations(served):
        for name in re.findall(r"\{(\w+)\}", path):
            for value in [MALFORMED[name], *bad.get(name, [])]:
                url = _filled(path, {**IN_PATH, name: value})
                # Where the query is at fault as well, either may be named: the path is read first.
                refused(_send(served, method, url, contract), 400, "bad-parameter", parameter=name)


@pytest.mark.parametrize("number", ["0", "-1", "+1", "1.0", "1e3", "0x1", "99999999999999999999", "1_0", "٣", "", " 1"])
def test_numbers_in_paths_are_plain_ones(served: Served, number: str) -> None:
    for path in ("/v1/events/{}", "/v1/entities/e/revisions/{}"):
        assert served.get(path.format(number)).status_code in ((400, 404, 200) if not number else (400,))


def test_what_is_not_there_is_a_404_everywhere(served: Served) -> None:
    slugs = {"getEvent": "not-yet", "proveEvent": "not-yet", "getActor": "unknown-actor", "getProblemType": "not-found"}
    needed = {"from": "1", "to": "1"}
    for method, path, contract in _operations(served):
        if "{" not in path or method != "GET":
            continue
        names = [each for each in needed if each in contract.query.__struct_encode_fields__]
        query = "&".join(f"{name}={needed[name]}" for name in names)
        url = _filled(path, {**IN_PATH, "position": "999999", "slug": "nothing"})
        refused(_send(served, method, f"{url}?{query}", contract), 404, slugs.get(contract.id, "unknown-record"))


def test_every_write_refuses_strangers_other_types_and_broken_bodies(served: Served) -> None:
    for method, path, contract in _operations(served):
        if method != "POST":
            continue
        url = _filled(path, IN_PATH)
        with served.unchanged():
            key = served.client.headers.pop("Authorization")
            stranger = served.client.post(url, content=b"[]", headers={"Content-Type": "application/json"})
            served.client.headers["Authorization"] = key
            refused(stranger, 401, "unauthorized")
            assert stranger.headers["www-authenticate"] == 'Bearer realm="ledger"'
            narrow = f"Bearer {served.make_key('write' if contract.scope == 'redact' else 'redact')}"
            refused(_send(served, method, url, contract, Authorization=narrow), 403, "forbidden")
            refused(_send(served, method, url, contract, Content_Type="text/plain"), 415, "unsupported-media-type")
            refused(_send(served, method, url, contract), 422, "bad-body")


def test_an_unknown_address_has_the_same_shape(served: Served) -> None:
    for path in (
        "/v2",
        "/v1",
        "/v1/claims/a/b/c/d",
        "/v1/people",
        "/%00",
        "/v1//",
        "/" + "a" * 5000,
        # The framework would remember, whole, what matched.
        "/v1/entities/" + "a" * 500,
        "/v1/entities/" + "😀" * 1000 + "/revisions",
    ):
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            refused(served.client.request(method, path), 404, "not-found")
    refused(served.get("/docs/assets/nothing"), 404, "not-found")


def _tree(kind: type[errors.LedgerError]) -> list[type[errors.LedgerError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


def test_every_error_of_the_ledger_has_a_problem_type() -> None:
    leaves = [kind for kind in _tree(errors.LedgerError) if not kind.__subclasses__()]
    assert len(leaves) > 20
    for kind in leaves:
        assert kind in problems.TABLE or kind is errors.UnknownReference, kind


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"[─] (\w+)", errors.__doc__ or "")
    assert sorted(drawn) == sorted(kind.__name__ for kind in _tree(errors.LedgerError)[1:])


def test_every_problem_type_is_explained_at_its_own_address(served: Served) -> None:
    for kind in problems.problem_types():
        response = served.get(f"/problems/{kind.slug}")
        assert response.status_code == 200
        assert response.json()["type"] == f"/problems/{kind.slug}"
        assert response.json()["title"] == kind.title
        assert response.json()["status"] == kind.status


def test_a_type_has_one_status_and_one_title() -> None:
    kinds = problems.problem_types()
    assert len({kind.slug for kind in kinds}) == len(kinds)


def test_a_type_has_the_title_that_its_page_states_wherever_it_is_made(served: Served) -> None:
    for response in (served.get("/nothing"), served.client.options("/nothing"), served.client.delete("/v1/claims")):
        problem = response.json()
        assert problem["title"] == served.get(problem["type"]).json()["title"]


def test_a_head_request_is_refused_as_a_get_would_be(served: Served) -> None:
    served.append(an_entity("somebody"))
    for path in ("/v1/entities/nobody-has-this", "/v1/entities/NOT", "/nothing", "/v1/entities?limit=0"):
        got, headed = served.get(path), served.client.head(path)
        assert headed.status_code == got.status_code
        assert headed.headers["content-type"] == "application/problem+json"
        assert headed.headers["content-length"] == got.headers["content-length"]
        assert headed.content == b""
