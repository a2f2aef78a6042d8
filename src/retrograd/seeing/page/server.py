"""Serves the page on this machine alone, while a program trains.

The program's thread takes down which step was the last, and now and then statistics for the flow; the numbers are read when a browser
asks, in a thread of the server's, and what takes long, Jacobians, checks, ledger and diagnosis, only while somebody looks at it.
Whoever asks must know the token, and must have asked for this machine by its own name: another site's page can do neither.
"""

from __future__ import annotations

import copy
import hmac
import json
import secrets
import threading
import time
import webbrowser
from collections import deque
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from retrograd.seeing.flow import Flow
from retrograd.seeing.language import known_language
from retrograd.seeing.page.arrays import Arrays
from retrograd.seeing.page.data import data_of, in_languages, results_of, scalar
from retrograd.seeing.page.page import html_of
from retrograd.seeing.page.products import Products
from retrograd.seeing.record import Record, Step

HOST = "127.0.0.1"
POINTS = 5000  # of the loss's curve
HELD = 4  # steps that browsers were given last, and may ask more about
REST = 50  # so many times as long as the flow took to look at a step, it looks at none


class Server:
    """A page that is being served: `url` is its address; a context manager, which stops it.

    >>> with serve(Record(1)) as server:
    ...     server.url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(self, record: Record, port: int, language: str, title: str) -> None:
        self.record, self.language, self.title = record, language, title
        self.token = secrets.token_urlsafe(24)
        self.losses: deque[tuple[int, Any]] = deque(((s.number, scalar(s.root)) for s in record.steps), POINTS)
        self.latest = record.steps[-1:], record.watched  # the last step, and how many there had been with it
        self.given: deque[Step] = deque(maxlen=HELD)
        self.flow, self.looking, self.rested = Flow(record), threading.Lock(), 0.0
        self.http = ThreadingHTTPServer((HOST, port), Handler)
        self.http.daemon_threads = True
        self.http.page = self  # type: ignore[attr-defined]
        record.listeners.append(self.came)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.1,), name="retrograd page", daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.http.server_address[1]

    @property
    def url(self) -> str:
        """The address of the page, with its token."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    def came(self, step: Step) -> None:
        """A step is over: takes down its loss, and that it is the last; now and then, what flowed in it."""
        self.losses.append((step.number, scalar(step.root)))
        self.latest = [step], self.record.watched
        began = time.perf_counter()
        if began >= self.rested and self.looking.acquire(blocking=False):
            try:
                self.flow.add(step)
            finally:
                self.looking.release()
            now = time.perf_counter()
            self.rested = now + REST * (now - began)

    def stop(self) -> None:
        """Stops serving; the port is free when it returns."""
        if self.came in self.record.listeners:
            self.record.listeners.remove(self.came)
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def data(self) -> dict[str, Any]:
        """The newest step, and the curve of the loss."""
        losses = [list(point) for point in list(self.losses) if point[1] is not None]
        steps, watched = self.latest
        self.given.extend(step for step in steps if step not in self.given)
        made = data_of(self.record, steps, brief=True) | {"watched": watched, "series": {"loss": losses}}
        del made["results"]  # the page keeps those that it has
        return made

    def settled(self, steps: list[Step]) -> Record:
        """The record with these steps, whose numbers stay as they are whatever the program writes meanwhile."""
        record = copy.copy(self.record)
        record.steps = steps
        for step in steps:
            step.settle()
        return record

    def step(self, number: int) -> Step | None:
        """A step that a browser was given."""
        return next((s for s in self.given if s.number == number), None)

    def jacobians(self, number: int, call: int) -> dict[str, Any] | None:
        """The Jacobians of one call; None if there is no such thing any more."""
        step = self.step(number)
        if step is None or not 0 <= call < len(step.calls) or not step.calls[call].pulls:
            return None
        arrays, kept = Arrays(), []

        def add(made: Any) -> int | None:
            kept.append(made)
            return arrays.add(made)

        found = Products(self.settled([step]), add).of_call(step.calls[call])
        return {"jacobians": found, "arrays": arrays.encoded()}

    def checks(self, number: int, value: int) -> list[dict[str, Any]] | None:
        """The checks of the chain to one value."""
        step = self.step(number)
        if step is None or not 0 <= value < len(step.values):
            return None
        return Products(self.settled([step]), lambda made: None).checked(step.values[value], step, at_all_costs=True)

    def result(self, name: str) -> dict[str, Any] | None:
        """The ledger, the flow or the diagnosis, in each language, of the steps that are kept now."""
        watched = self.latest[1]
        if name == "flow":
            with self.looking:
                found = in_languages(self.flow)
        elif name in ("ledger", "diagnosis"):
            record = self.settled(list(self.record.steps))
            found = in_languages(results_of(record)[name]())
        else:
            return None
        return {**found, "watched": watched}

    def html(self) -> str:
        """The page as it is now."""
        return html_of(self.data() | {"results": {}}, self.language, self.title, live=f"&token={self.token}")


class Handler(BaseHTTPRequestHandler):
    """Answers for the page and for what came since."""

    server_version = "retrograd"
    sys_version = ""

    def do_GET(self) -> None:
        """The page, or JSON of what it asks for; 204 if there is nothing newer, 403 to whoever has no token, 404 otherwise."""
        page: Server = self.server.page  # type: ignore[attr-defined]
        address = urlsplit(self.path)
        asked = parse_qs(address.query)
        if not self.is_for(page.port) or not hmac.compare_digest(asked.get("token", [""])[0].encode(), page.token.encode()):
            self.answer(HTTPStatus.FORBIDDEN, "text/plain", "403: open the address that the program printed, with its token")
        elif address.path == "/":
            self.answer(HTTPStatus.OK, "text/html", page.html())
        elif address.path == "/newer" and asked.get("after") == [str(page.latest[1])]:
            self.answer(HTTPStatus.NO_CONTENT, "text/plain", "")
        else:
            found = self.found(page, address.path, {name: values[0] for name, values in asked.items()})
            if found is None:
                self.answer(HTTPStatus.NOT_FOUND, "text/plain", "404")
            else:
                self.answer(HTTPStatus.OK, "application/json", json.dumps(found, separators=(",", ":"), allow_nan=False))

    @staticmethod
    def found(page: Server, path: str, asked: dict[str, str]) -> Any:
        """What a browser asks for, beside the page itself; None if there is no such thing."""

        def whole(name: str) -> int:
            text = asked.get(name, "")
            return int(text) if text.isascii() and text.isdigit() else -1

        if path == "/newer":
            return page.data()
        if path == "/jacobians":
            return page.jacobians(whole("step"), whole("call"))
        if path == "/checks":
            return page.checks(whole("step"), whole("value"))
        return page.result(asked.get("name", "")) if path == "/results" else None

    def is_for(self, port: int) -> bool:
        """Whether the browser asked for this machine by its own name: the name of another site may lead here, too."""
        return self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")

    def answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        """Sends an answer that nobody keeps or frames."""
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (
            ("Cache-Control", "no-store"),
            ("X-Frame-Options", "DENY"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the program's."""


def serve(what: Any, port: int = 0, open: bool = False, language: str | None = None, title: str = "Retrograd") -> Server:
    """Serves the page of a record, live: what is recorded later appears by itself.

    Args:
        what: a `Record`, or what has one as `record` (a recorder, a watched function).
        port: where to listen, on this machine alone; 0: any that is free.
        open: opens it in the browser.
        language: "en" or "es"; None: the locale's.

    Returns:
        The server; `stop()` ends it, as does the end of the program.

    Raises:
        OSError: if the port is taken.
        ValueError: if there are no texts in the language.
    """
    record = what if isinstance(what, Record) else what.record
    server = Server(record, port, known_language(language), title)
    if open:
        webbrowser.open(server.url)
    return server
