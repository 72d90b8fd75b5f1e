"""The log as machines follow it: checkpoints, keys, tiles and entries by c2sp.org/tlog-tiles, recomputed from the entries."""

import json
from collections.abc import Callable

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given
from hypothesis import strategies as st

from tests.log.naive_tree import Tree
from tests.support.builders import an_entity, an_id
from tests.support.log_reader import entries_in, leaf_of, read_checkpoint, tile_path, tiles_of, vkey_for
from tests.support.served import DATABASES, Served, migrated, refused, serve

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
# Sizes at which a tile, or a level of them, begins, fills or overflows.
SIZES = (1, 2, 3, 255, 256, 257, 511, 512, 530)


def grow(served: Served, size: int) -> None:
    """Append until the log has that size."""
    while missing := size - served.head():
        served.append(*(an_entity(an_id("grown")) for _ in range(min(missing, 5000))))


def entries_of(served: Served) -> list[bytes]:
    """Every entry, read from where it was first written: the database."""
    rows = served.database.access().rows("SELECT entry FROM event ORDER BY position")
    return [bytes(row[0]) for row in rows]


@pytest.fixture(scope="module")
def grown(served: Served) -> tuple[Served, list[bytes], dict[int, str]]:
    """A log of 530 events, its entries, and the checkpoint at each of the sizes."""
    notes = {}
    for size in SIZES:
        grow(served, size)
        notes[size] = served.get("/tlog/checkpoint").text
    return served, entries_of(served), notes


def test_every_checkpoint_is_signed_over_the_root_of_its_size(grown) -> None:
    served, entries, notes = grown
    tree, keys = Tree.over(entries), served.get("/tlog/keys").text
    origin = served.get("/").json()["log_origin"]
    for size, note in notes.items():
        opened = read_checkpoint(note, vkey_for(keys, size))
        assert (opened.origin, opened.size, opened.root) == (origin, size, tree.root(size))


def test_a_checkpoint_with_any_byte_changed_is_not_signed(grown) -> None:
    served, _, notes = grown
    note, vkey = notes[530], vkey_for(served.get("/tlog/keys").text, 530)
    for old, new in (("\n530\n", "\n531\n"), ("\n530\n", "\n529\n"), (note.split("\n")[2], "A" * 43 + "=")):
        assert old in note
        with pytest.raises(InvalidSignature):
            read_checkpoint(note.replace(old, new, 1), vkey)


def test_the_checkpoint_and_the_keys_are_text_and_fresh(grown) -> None:
    served, _, _ = grown
    checkpoint, keys = served.get("/tlog/checkpoint"), served.get("/tlog/keys")
    assert checkpoint.headers["content-type"] == keys.headers["content-type"] == TEXT
    assert checkpoint.headers["cache-control"] == "public, max-age=2"
    assert keys.headers["cache-control"] == "no-cache"
    assert keys.text.startswith("1 ")
    assert keys.text.count("\n") == 1


def test_a_checkpoint_follows_each_commit_at_once(grown) -> None:
    served, _, _ = grown
    for _ in range(5):
        position = served.append(an_entity(an_id("grown")), an_entity(an_id("grown")))
        note = served.get("/tlog/checkpoint").text
        opened = read_checkpoint(note, vkey_for(served.get("/tlog/keys").text, position))
        assert opened.size == position
        assert opened.root == Tree.over(entries_of(served)).root(position)


@pytest.mark.parametrize("size", SIZES)
def test_every_tile_of_a_size_holds_the_hashes_of_its_subtrees(grown, size: int) -> None:
    served, entries, _ = grown
    tree = Tree.over(entries)
    for level, number, width in tiles_of(size):
        tile = served.get(tile_path(level, number, width))
        assert tile.status_code == 200, tile.text
        assert tile.headers["content-type"] == BYTES
        step = 256**level
        starts = [(number * 256 + place) * step for place in range(width)]
        assert tile.content == b"".join(tree.mth(start, start + step) for start in starts)


@pytest.mark.parametrize("size", SIZES)
def test_every_bundle_of_a_size_holds_its_entries(grown, size: int) -> None:
    served, entries, _ = grown
    read = []
    for level, number, width in tiles_of(size):
        if level:
            continue
        bundle = served.get(tile_path("entries", number, width))
        assert bundle.status_code == 200, bundle.text
        assert bundle.headers["content-type"] == BYTES
        held = entries_in(bundle.content)
        assert len(held) == width
        assert served.get(tile_path(0, number, width)).content == b"".join(map(leaf_of, held))
        read += held
    assert read == entries[:size]


def test_an_entry_in_a_bundle_is_the_one_that_the_feed_shows(grown) -> None:
    served, _, _ = grown
    bundle = entries_in(served.get(tile_path("entries", 1, 20)).content)
    for position in (257, 270, 276):
        event = served.get(f"/v1/events/{position}").json()
        assert event["entry"].encode() == bundle[position - 257]
        assert json.loads(event["entry"])["position"] == position


def test_from_tiles_alone_the_root_of_the_checkpoint_is_found(grown) -> None:
    """As a follower does: the level 0 tiles give the leaves, and they the root."""
    served, _, notes = grown
    for size, note in notes.items():
        tiles = [served.get(tile_path(*tile)).content for tile in tiles_of(size) if tile[0] == 0]
        leaves = [tile[at : at + 32] for tile in tiles for at in range(0, len(tile), 32)]
        vkey = vkey_for(served.get("/tlog/keys").text, size)
        assert Tree(leaves).root(size) == read_checkpoint(note, vkey).root


@given(st.sampled_from(["entries", 0, 1, 2, 3, 7, 8, 62, 63]), st.integers(0, 5), st.integers(1, 256))
def test_a_tile_is_there_if_all_its_hashes_are(grown, level: int | str, number: int, width: int) -> None:
    served, _, _ = grown
    complete = served.head() >> (8 * (0 if level == "entries" else int(level)))
    answer = served.get(tile_path(level, number, width))
    if number * 256 + width <= complete:
        assert answer.status_code == 200
    else:
        refused(answer, 404, "not-yet")


@given(st.integers(0, 63), st.integers(0, 10**15 - 1), st.integers(1, 256))
def test_what_is_far_beyond_the_log_is_not_there_yet(grown, level: int, number: int, width: int) -> None:
    served, _, _ = grown
    if number > 4:
        refused(served.get(tile_path(level, number, width)), 404, "not-yet")


@pytest.mark.parametrize(
    "name",
    [
        "0",
        "0/",
        "0/0",
        "0/00",
        "0/0000",
        "0/x000/001",
        "0/x001",
        "0/x001/x002",
        "0/001/002",
        "0/x01/002",
        "0/X001/002",
        "0/000.p",
        "0/000.p/",
        "0/000.p/0",
        "0/000.p/00",
        "0/000.p/01",
        "0/000.p/256",
        "0/000.p/257",
        "0/000.p/999",
        "0/000.p/1000",
        "0/000.p/-1",
        "0/000.p/+1",
        "0/000.p/1.0",
        "0/000.p/1/1",
        "0/000.P/1",
        "0/000.p/99999999999999999999",
        "0/-01",
        "0/+01",
        "0/%30%30a",
        "0/٠٠٠",
        "00/000",
        "01/000",
        "-1/000",
        "64/000",
        "99/000",
        "100/000",
        "18446744073709551616/000",
        "Entries/000",
        "entry/000",
        "entries",
        "entries/0",
        "entries/000.p/256",
        "data/000",
        "0/x999/x999/x999/x999/x999/x999/999",
        "0/" + "x001/" * 300 + "001",
        "0/000%00",
        "0/000%0A",
        "0/000.p/1%0A",
        "0/..%2F000",
    ],
)
def test_a_path_that_names_no_tile_is_not_found(grown, name: str) -> None:
    served, _, _ = grown
    refused(served.get(f"/tlog/tile/{name}"), 404, "not-found")


@pytest.mark.parametrize(
    "where", ["/tlog", "/tlog/", "/tlog/tile", "/tlog/tiles/0/000", "/tlog/checkpoints", "/tlog/key"]
)
def test_nothing_else_is_served_beside_the_tiles(grown, where: str) -> None:
    served, _, _ = grown
    refused(served.get(where), 404, "not-found")


def test_full_tiles_are_kept_for_ever_and_partial_ones_for_an_hour(grown) -> None:
    served, _, _ = grown
    for level in (0, "entries"):
        full, partial = served.get(tile_path(level, 0)), served.get(tile_path(level, 1, 3))
        assert "immutable" in full.headers["cache-control"]
        assert full.headers["cache-control"].startswith("public, max-age=31536000")
        assert partial.headers["cache-control"] == "public, max-age=3600"
    assert served.get(tile_path(0, 9)).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/tlog/checkpoint", "/tlog/keys", tile_path(0, 0), tile_path("entries", 0), tile_path(0, 2, 2)]
)
def test_head_answers_as_get_and_nothing_else_is_allowed(grown, path: str) -> None:
    served, _, _ = grown
    got, headed = served.get(path), served.client.head(path)
    assert headed.status_code == 200
    assert headed.content == b""
    for name in ("content-type", "cache-control", "vary", "content-length"):
        assert headed.headers.get(name) == got.headers.get(name), name
    assert set(served.client.options(path).headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        refused(served.client.request(method, path), 405, "method-not-allowed")


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_bundles_are_compressed_where_it_is_asked_for(grown, encoding: str) -> None:
    served, _, _ = grown
    path = tile_path("entries", 0)
    plain = served.get(path, Accept_Encoding="identity")
    packed = served.get(path, Accept_Encoding=encoding)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == encoding
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("database", DATABASES)
def test_where_reading_is_closed_the_log_is_too(request, tmp_path, database: str) -> None:
    with migrated(request, database, tmp_path, public_read=False) as settings, serve(settings) as served:
        for path in ("/tlog/checkpoint", "/tlog/keys", tile_path(0, 0, 1), tile_path("entries", 0, 1)):
            assert served.get(path).status_code == 200
            refused(httpx_without_key(served)(path), 401, "unauthorized")
            refused(served.get(path, Authorization="Bearer nonsense"), 401, "unauthorized")


def httpx_without_key(served: Served) -> Callable[[str], httpx.Response]:
    def get(path: str) -> httpx.Response:
        request = served.client.build_request("GET", path)
        del request.headers["Authorization"]
        return served.client.send(request)

    return get
