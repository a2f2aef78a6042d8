"""`retrograd see program.py` and `retrograd page program.py`: a program runs as ever, and then one sees what it did."""

from __future__ import annotations

import contextlib
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrograd.cli.see_texts import SEE
from retrograd.cli.texts import UserError
from retrograd.seeing import picture, script, see
from retrograd.seeing.board import Board
from retrograd.seeing.chain import chain
from retrograd.seeing.diagnosis import diagnose
from retrograd.seeing.flow import Flow
from retrograd.seeing.ledger import ledger
from retrograd.seeing.page.page import page
from retrograd.seeing.page.server import serve
from retrograd.seeing.script import Outcome
from retrograd.seeing.seen import Seen
from retrograd.seeing.text import Shown

WIDTH = 78  # of a heading
NAMES = 40  # of tensors, listed where another was asked for


@dataclass(frozen=True)
class Options:
    """What the user may choose."""

    path: Path
    arguments: Sequence[str]
    language: str
    every: int = 1
    keep: int = 8
    limit: int = 1_000_000
    steps: int | None = None
    as_torch: bool = False
    open: bool = False
    page: Path | None = None
    picture: Path | None = None
    board: Path | None = None
    to: str | None = None
    port: int = 0


def run(options: Options) -> int:
    """`retrograd see`: runs the program, prints what was seen, and writes what was asked for. Returns the program's exit status."""
    say = SEE[options.language]
    if options.picture is not None and options.picture.suffix.lower() not in picture.FORMATS:
        raise UserError(f"--picture: expected a name that ends in .svg or .png, got {options.picture.name!r}")
    recorder = see(every=options.every, keep=options.keep, limit=options.limit, history=True)
    record: Seen = recorder.record
    flow = record.flow()
    flow.language = options.language
    with contextlib.ExitStack() as stack:
        if options.board is not None:
            stack.enter_context(extra(Board, record, options.board, flow))
        outcome = executed(options, recorder)
    if not record.steps:
        return nothing(options, outcome)
    present(options, outcome, flow)
    for path in written(options, outcome, flow):
        print(say["wrote"].format(path=path))
    return outcome.status


def serve_page(options: Options) -> int:
    """`retrograd page`: runs the program while its page is served, and goes on serving until Ctrl-C. Returns the program's exit status."""
    say = SEE[options.language]
    recorder = see(every=options.every, keep=options.keep, limit=options.limit)
    with serve(recorder, options.port, options.open, options.language, options.path.name) as server:
        print(say["serving"].format(url=server.url), flush=True)
        outcome = executed(options, recorder)
        if not recorder.record.steps:
            return nothing(options, outcome)
        print("\n".join(summary(options, outcome)))
        print(say["waiting"], flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return outcome.status


def executed(options: Options, recorder: Any) -> Outcome:
    """The program, run."""
    if not options.path.is_file():
        raise UserError(SEE[options.language]["no file"].format(path=options.path))
    outcome = script.run(options.path, options.arguments, recorder, options.steps, options.as_torch)
    sys.stdout.flush()
    return outcome


def nothing(options: Options, outcome: Outcome) -> int:
    """Says that there is nothing to be seen, unless the program has failed, which was said already."""
    if outcome.status:
        return outcome.status
    text = SEE[options.language]["no step"].format(path=options.path)
    imports_torch = b"import torch" in (source := options.path.read_bytes()) or b"from torch" in source
    raise UserError(text + (SEE[options.language]["as torch"] if imports_torch and not options.as_torch else ""))


def extra(make: Any, *arguments: Any) -> Any:
    """What needs a package that may be missing."""
    try:
        return make(*arguments)
    except ImportError as error:
        raise UserError(str(error)) from None


def heading(text: str) -> str:
    """A line across."""
    return f"\n── {text} " + "─" * max(0, WIDTH - len(text) - 4) + "\n"


def printed(result: Shown, language: str) -> None:
    """Prints a result: by rich where it is installed."""
    result.language = language
    try:
        from rich.console import Console
    except ImportError:
        print(result.text(language))
        return
    Console(highlight=False).print(result)


def counted(n: int, say: dict[str, str]) -> str:
    """So many steps."""
    return say["one step"] if n == 1 else say["steps"].format(n=n)


def summary(options: Options, outcome: Outcome) -> list[str]:
    """How the program ended, and how much of it was seen."""
    say, record = SEE[options.language], outcome.record
    kept = len(record.steps)
    known = {"path": options.path, "watched": counted(record.watched, say), "kept": kept}
    lines = [say["watched" if kept < record.watched else "watched all"].format(**known)]
    failure = record.failure
    if outcome.ended == "exited" and outcome.status:
        lines.append(say["exited"].format(status=outcome.status))
    elif outcome.ended == "enough":
        lines.append(say["enough"].format(n=counted(record.watched, say)))
    elif outcome.ended == "interrupted":
        lines.append(say["interrupted"])
    elif outcome.ended == "crashed" and failure is not None:
        lines.append(say["crashed"].format(kind=failure.kind, message=(failure.message.splitlines() or [""])[0]))
        if failure.place is not None:
            lines.append("  " + say["at"].format(line=failure.place.line, text=failure.place.text))
        if failure.backward is not None:
            lines.append("  " + say["in backward"].format(name=failure.backward.name))
        elif failure.operation is not None:
            lines.append("  " + say["in operation"].format(name=failure.operation))
    return lines


def present(options: Options, outcome: Outcome, flow: Flow) -> None:
    """Prints how it ended, the diagnosis, the ledger of the last step, the flow, and the chain that was asked for."""
    say, record, language = SEE[options.language], outcome.record, options.language
    print(heading("retrograd see") + "\n".join(summary(options, outcome)))
    print(heading(say["diagnosis"]))
    printed(diagnose(record, language), language)
    print(heading(say["ledger"]))
    printed(ledger(record), language)
    if len(flow.steps) > 1:
        print(heading(say["flow"]))
        printed(flow, language)
    if options.to is not None:
        print(heading(say["chain"]))
        try:
            printed(chain(record, options.to, language=language), language)
        except KeyError:
            names = sorted({v.name for v in record.step().values if v.name})
            print(say["no name"].format(name=options.to, names=", ".join(names[:NAMES]) + (" …" if len(names) > NAMES else "")))
        except ValueError as error:
            print(say["no value"].format(name=options.to, why=error.args[0]))


def written(options: Options, outcome: Outcome, flow: Flow) -> list[Path]:
    """Writes the page and the pictures that were asked for; opens the page."""
    found = []
    target = options.page or (Path(f"{options.path.stem}-page.html") if options.open else None)
    if target is not None:
        target.write_text(page(outcome.record, options.language, options.path.name), encoding="utf-8")
        found.append(target)
        if options.open:
            webbrowser.open(target.resolve().as_uri())
    if options.picture is not None:
        base, ending = options.picture, options.picture.suffix
        graph = extra(picture.graph, outcome.record, -1, options.language)
        for what, path in (
            (graph, base), (ledger(outcome.record), base.with_name(f"{base.stem}-ledger{ending}")), (flow, base.with_name(f"{base.stem}-flow{ending}"))
        ):  # fmt: skip
            found.append(extra(picture.save, what, path, options.language))
    if options.board is not None:
        found.append(options.board)
    return found
