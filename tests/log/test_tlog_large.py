"""A log whose tiles have three levels, more than 65,536 events long."""

import pytest

from tests.log.naive_tree import Tree
from tests.log.test_tlog import entries_of, grow
from tests.support.log_reader import entries_in, read_checkpoint, tile_path, tiles_of, vkey_for
from tests.support.served import DATABASES, migrated, refused, serve


@pytest.mark.slow
@pytest.mark.parametrize("database", DATABASES)
def test_beyond_65536_events_tiles_have_three_levels(request, tmp_path, database: str) -> None:
    size = 65_800
    with migrated(request, database, tmp_path) as settings, serve(settings) as served:
        grow(served, size)
        entries = entries_of(served)
        tree = Tree.over(entries)
        opened = read_checkpoint(served.get("/tlog/checkpoint").text, vkey_for(served.get("/tlog/keys").text, size))
        assert (opened.size, opened.root) == (size, tree.root(size))
        tiles = tiles_of(size)
        assert [tile for tile in tiles if tile[0]] == [(1, 0, 256), (1, 1, 1), (2, 0, 1)]
        for level, number, width in tiles:
            tile, step = served.get(tile_path(level, number, width)).content, 256**level
            starts = [(number * 256 + place) * step for place in range(width)]
            assert tile == b"".join(tree.mth(at, at + step) for at in starts), (level, number)
            if level == 0 and number % 16 in (0, 15):
                held = entries_in(served.get(tile_path("entries", number, width)).content)
                assert held == entries[number * 256 : number * 256 + width]
        refused(served.get(tile_path(1, 1)), 404, "not-yet")
        refused(served.get(tile_path(2, 0, 2)), 404, "not-yet")
