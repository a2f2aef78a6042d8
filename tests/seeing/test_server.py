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
