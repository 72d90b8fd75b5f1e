from tests.builders import *
def test_appends(writing):
    out = writing.append(*ground(), a_claim("c1", source="paper", question="offline-when"))
    assert out.position == 5
    writing.append(revise("claim","c1",expect=1,statement="x"), retract("source","paper",expect=1))
def test_client(client):
    r = client.post("/v1/entities", json={"type":"platform","name":"X"})
    assert r.status_code == 201, r.text
    assert client.get(r.headers["location"]).json()["name"] == "X"
    r2 = client.post(r.headers["location"]+"/revisions", json={"action":"revise","reason":"r","changes":{"name":"Y"}}, headers={"If-Match": r.headers["etag"]})
    assert r2.status_code == 201, r2.text
    r3 = client.post(r.headers["location"]+"/revisions", json={"action":"revise","reason":"r","changes":{"name":"Z"}}, headers={"If-Match": r.headers["etag"]})
    assert r3.status_code == 412, r3.text
    print(r3.text)
