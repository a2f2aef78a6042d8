"""The page served live: to this machine alone, to who has the token, and at no cost to the program's numbers."""

from __future__ import annotations

import http.client
import json
import threading
from urllib.parse import urlsplit

import pytest

import retrograd as torch
from retrograd.seeing import Recorder
from retrograd.seeing.page.server import Server, serve


def ask(server: Server, path: str, host: str | None = None) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.headers


def train(steps: int) -> None:
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        optimizer.step()


def test_serves_the_page_with_its_token_only():
    with torch.see() as record:
        train(2)
    with serve(record, language="en") as server:
        address = urlsplit(server.url)
        assert address.hostname == "127.0.0.1"
        status, body, headers = ask(server, f"/?{address.query}")
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        assert body.startswith("<!doctype html>")
        for path in ("/", "/?token=", "/?token=wrong", "/newer", "/?token=%C3%A9"):
            assert ask(server, path)[0] == 403
        assert ask(server, f"/other?{address.query}")[0] == 404


def test_another_name_that_leads_here_is_refused():
    with torch.see() as record:
        train(1)
    with serve(record) as server:
        query = urlsplit(server.url).query
        assert ask(server, f"/?{query}", host=f"elsewhere.example:{server.port}")[0] == 403
        assert ask(server, f"/?{query}", host=f"localhost:{server.port}")[0] == 200


def test_what_is_recorded_later_is_served():
    recorder = Recorder(1, 2, 1000)
    with serve(recorder) as server, recorder as record:
        query = urlsplit(server.url).query
        train(5)
        seen = record.watched
        newer = json.loads(ask(server, f"/newer?{query}&after=0")[1])
        assert newer["watched"] == seen
        assert [n for n, _ in newer["series"]["loss"]] == list(range(seen))
        assert newer["series"]["loss"][0][1] == 5.0
        assert ask(server, f"/newer?{query}&after={seen}")[0] == 204


def test_what_takes_long_is_served_when_it_is_asked_for():
    recorder = Recorder(1, 2, 1000)
    with serve(recorder, language="en") as server, recorder as record:
        query = urlsplit(server.url).query
        train(4)

        def asked(path: str) -> tuple[int, object]:
            status, body, _ = ask(server, f"{path}&{query}")
            return status, json.loads(body) if status == 200 else None

        first = json.loads(ask(server, f"/newer?after=0&{query}")[1])
        (shown,) = first["steps"]
        assert all(call["jacobians"] is None for call in shown["calls"])
        assert (shown["checks"], "results" in first) == ({}, False)
        number = shown["number"]
        train(3)  # the step that the browser has is not the last any more
        _, jacobians = asked(f"/jacobians?step={number}&call=0")
        mul = jacobians["jacobians"]
        assert [(j["rows"], j["columns"], j["kind"]) for js in mul for j in js] == [(2, 2, "diagonal")] * 2
        assert jacobians["arrays"][mul[1][0]["matrix"]]["shape"] == [2, 2]
        _, checks = asked(f"/checks?step={number}&value=0")
        assert {c["verdict"] for c in checks} <= {"exact", "rounding"}
        assert len(checks) == 5
        for name in ("ledger", "flow", "diagnosis"):
            status, result = asked(f"/results?name={name}")
            assert (status, result["watched"]) == (200, record.watched)
            assert result["en"] != result["es"]
        for path in (
            "/jacobians?step=99&call=0",
            f"/jacobians?step={number}&call=99",
            f"/checks?step={number}&value=-1",
            "/results?name=x",
            "/checks?x=1",
        ):
            assert asked(path)[0] == 404
        assert ask(server, "/jacobians?step=0&call=0&token=wrong")[0] == 403


def test_asking_does_not_disturb_a_program_that_writes():
    """While it writes over its numbers, every answer is of numbers that there were at one time."""
    recorder = Recorder(1, 2, 10_000)
    w = torch.ones(1000, requires_grad=True)
    done = threading.Event()

    def program() -> None:
        with recorder:
            optimizer = torch.optim.SGD([w], lr=0.5)
            while not done.is_set():
                optimizer.zero_grad()
                (w * w.detach()).sum().backward()
                optimizer.step()

    with serve(recorder, language="en") as server:
        thread = threading.Thread(target=program)
        thread.start()
        query = urlsplit(server.url).query
        looked = 0
        try:
            while looked < 15:
                newer = json.loads(ask(server, f"/newer?after=-1&{query}")[1])
                for step in newer["steps"]:
                    (update,) = step["updates"] or (None,)
                    if update is None:
                        continue
                    before, after = (newer["arrays"][update[k]]["stats"] for k in ("before", "after"))
                    assert before["std"] == after["std"] == 0.0  # all of an array's numbers are of one time
                    assert after["mean"] == pytest.approx(before["mean"] / 2, abs=1e-30)
                    looked += 1
                    assert ask(server, f"/results?name=ledger&{query}")[0] == 200
        finally:
            done.set()
            thread.join()


def test_a_server_that_is_stopped_is_gone():
    with torch.see() as record:
        train(1)
    server = serve(record)
    port = server.port
    server.stop()
    assert server.came not in record.listeners
    assert not any(thread is server.thread for thread in threading.enumerate())
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
