"""What a redaction looks for in what is left: texts however they are written, and an id as a word of its own."""

from api.domain.records.redaction import looking_for, may_hold, needles


def test_nothing_is_looked_for_where_nothing_is_gone():
    assert looking_for([], None) == []
    assert needles([], None) == []


def test_a_text_is_found_however_it_is_written():
    (holds,) = looking_for(["Straße 7", "Élodie"], None)
    assert holds("in der STRASSE 7")
    assert holds("by Elodie herself")
    assert not holds("in der Strasse 8, by Lodie")


def test_an_id_is_found_as_a_word_of_its_own_alone():
    (holds,) = looking_for([], "john-doe")
    assert holds("see john-doe.")
    assert holds("john-doe")
    assert not any(map(holds, ("john-doe-2", "john-doe2", "xjohn-doe", "elton-john-doe", "john doe", "John-Doe")))


def test_texts_and_an_id_are_looked_for_each_by_itself():
    by_text, by_id = looking_for(["Parler"], "parler-llc")
    assert (by_text("parler"), by_id("parler")) == (True, False)
    assert (by_text("none"), by_id("parler-llc")) == (False, True)


def test_bytes_to_look_for_are_the_longest_that_json_writes_as_they_are():
    assert needles(['say "hello" twice, or\nonce'], "parler") == [b" twice, or", b"parler"]


def test_a_payload_without_those_bytes_need_not_be_read():
    assert may_hold(b'{"name": "Parler LLC"}', [b"gab", b"parler"])
    assert not may_hold(b'{"name": "Parler LLC"}', [b"gab", b"twitter"])
    assert may_hold('{"name": "Été"}'.encode(), [b"gab"]), "what is not ASCII is folded first"
