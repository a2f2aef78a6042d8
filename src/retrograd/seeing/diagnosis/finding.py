"""What a diagnosis consists of: findings, and what was looked at. In English and Spanish."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, overload

from retrograd.seeing.diagnosis.texts import TEXTS, WORDS
from retrograd.seeing.language import known_language
from retrograd.seeing.record import Call, Event, Pass, Place, Update, Value
from retrograd.seeing.text import Part, Shown, number

SEVERITIES = ("error", "warning", "hint")  # certainly wrong, likely, perhaps
COLOURS = {"error": "bold red", "warning": "bold yellow", "hint": "bold cyan"}
MOST_NAMES = 3  # of a list that are shown


def listed(names: Sequence[Any], language: str) -> str:
    """Names as people list them, the first few.

    >>> listed(["a", "b", "c", "d", "e"], "en")
    'a, b, c and 2 more'
    """
    words = WORDS[language]
    shown = [name if isinstance(name, str) else written(name, language) for name in names[:MOST_NAMES]]
    if len(names) > MOST_NAMES:
        return ", ".join(shown) + " " + words["more"].format(n=len(names) - MOST_NAMES)
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" {words['and']} " + shown[-1] if shown else "–"


def written(fact: Any, language: str) -> str:
    """A fact in a text: numbers in four digits, lists as lists, shapes as shapes."""
    if isinstance(fact, float):
        return number(fact)
    if isinstance(fact, list):
        return listed(fact, language)
    if isinstance(fact, tuple):
        return f"[{', '.join(map(str, fact))}]"
    if isinstance(fact, Place):
        return located(fact)
    return str(fact)


def located(place: Place) -> str:
    """A place as `file:line`."""
    return at_line(place.file, place.line)


def at_line(file: str, line: int) -> str:
    """A file and a line, the file from the working directory where it lies beneath."""
    inside = os.path.isabs(file) and file.startswith(os.getcwd() + os.sep)
    return f"{os.path.relpath(file) if inside else file}:{line}"


@dataclass(eq=False)
class Finding(Shown):
    """A fault that was found.

    `what` happened, with the program's own names and numbers; its `cause`; the `fix`, with `code`. These are in the finding's
    `language`; `said` gives them in another.
    """

    fault: str
    severity: str  # "error": certainly wrong; "warning": likely; "hint": perhaps
    step: int | None  # number of the step where it was seen first
    place: Place | None  # the line of the user's program
    facts: dict[str, Any] = field(default_factory=dict)  # the names and numbers in the texts
    about: Value | Call | Update | Pass | Event | None = None  # what is concerned
    variant: str = ""  # which kind of the fault
    language: str | None = None

    def said(self, part: str, language: str | None = None) -> str:
        """One of its texts: "title", "what", "cause", "fix" or "code".

        Raises:
            ValueError: if there are no texts in the language.
        """
        language = known_language(language or self.language)
        own = TEXTS[f"{self.fault}.{self.variant}"][language] if self.variant else {}
        template = own.get(part) or TEXTS[self.fault][language].get(part, "")
        return template.format(**{name: written(fact, language) for name, fact in self.facts.items()})

    @property
    def title(self) -> str:
        """The fault in a few words."""
        return self.said("title")

    @property
    def what(self) -> str:
        """What happened."""
        return self.said("what")

    @property
    def cause(self) -> str:
        """Why that is wrong, and where it comes from."""
        return self.said("cause")

    @property
    def fix(self) -> str:
        """What to do."""
        return self.said("fix")

    @property
    def code(self) -> str:
        """What to do, as lines of the program."""
        return self.said("code")

    def where(self, language: str) -> str:
        """Step, line and expression, as far as they are known."""
        words = WORDS[language]
        parts = [words["step"].format(n=self.step)] if self.step is not None else []
        if self.place is not None:
            parts += [located(self.place), self.place.text]
        return " · ".join(part for part in parts if part)

    def parts(self, language: str) -> list[Part]:
        words = WORDS[language]
        lines = [f"{words[self.severity].upper()}  {self.said('title', language)}  [{self.fault}]"]
        lines += ["  " + self.where(language)] if self.where(language) else []
        lines += ["  " + self.said(part, language) for part in ("what", "cause")]
        lines.append(f"  {words['fix']}: {self.said('fix', language)}")
        lines += ["      " + line for line in self.said("code", language).splitlines()]
        return ["\n".join(lines)]

    def __rich__(self) -> Any:
        from rich.padding import Padding
        from rich.text import Text

        return Padding(self.rich(Text, known_language(self.language)), (0, 0, 1, 0))

    def rich(self, text: Any, language: str) -> Any:
        """As rich draws it, with its class `text`."""
        words = WORDS[language]
        drawn = text()
        drawn.append(words[self.severity].upper(), COLOURS[self.severity])
        drawn.append("  " + self.said("title", language), "bold")
        drawn.append(f"  [{self.fault}]\n", "dim")
        if self.where(language):
            drawn.append(f"  {self.where(language)}\n", "dim")
        for part in ("what", "cause"):
            drawn.append(f"  {self.said(part, language)}\n")
        drawn.append(f"  {words['fix']}: ", "bold green")
        drawn.append(self.said("fix", language))
        for line in self.said("code", language).splitlines():
            drawn.append(f"\n      {line}", "green")
        return drawn

    def _repr_html_(self) -> str:
        language = known_language(self.language)
        words = WORDS[language]
        title = f"<b>{escape(words[self.severity].upper())}</b> <b>{escape(self.said('title', language))}</b> <small>[{escape(self.fault)}]</small>"
        where = f"<br><small>{escape(self.where(language))}</small>" if self.where(language) else ""
        texts = "".join(f"<p>{escape(self.said(part, language))}</p>" for part in ("what", "cause"))
        fix = f"<p><b>{escape(words['fix'])}:</b> {escape(self.said('fix', language))}</p>"
        code = f"<pre>{escape(self.said('code', language))}</pre>" if self.said("code", language) else ""
        return f'<div lang="{language}" data-fault="{escape(self.fault)}" data-severity="{self.severity}">{title}{where}{texts}{fix}{code}</div>'

    def to_dict(self, language: str | None = None) -> dict[str, Any]:
        """Plain data: texts, place, and facts as they stand in the texts."""
        language = known_language(language or self.language)
        place = self.place
        return {
            "fault": self.fault,
            "variant": self.variant,
            "severity": self.severity,
            "step": self.step,
            "place": None if place is None else {"file": place.file, "line": place.line, "function": place.function, "text": place.text},
            **{part: self.said(part, language) for part in ("title", "what", "cause", "fix", "code")},
            "about": None if self.about is None else name_of(self.about),
            "facts": {name: written(fact, language) for name, fact in self.facts.items()},
        }


def name_of(thing: Value | Call | Update | Pass | Event) -> str:
    """A name for what a finding is about."""
    if isinstance(thing, Value):
        return thing.label
    if isinstance(thing, Call):
        return f"{thing.name}#{thing.number}"
    if isinstance(thing, Update):
        return thing.leaf.label
    return thing.kind if isinstance(thing, Event) else "backward"


@dataclass(frozen=True)
class Check:
    """Whether one fault was looked for. `why` not: a key of WORDS, "" if it was; `lacking`: tensors whose numbers were not kept."""

    fault: str
    why: str = ""
    lacking: tuple[str, ...] = ()


class Diagnosis(Shown, Sequence[Finding]):
    """The findings, the gravest first, and what was checked. A sequence: `for finding in diagnosis`, `len(diagnosis)`."""

    def __init__(
        self, findings: Sequence[Finding], checks: Sequence[Check], notes: Sequence[tuple[str, dict[str, Any]]], steps: int, language: str
    ) -> None:
        self.findings, self.checks, self.notes = list(findings), list(checks), list(notes)
        self.steps = steps  # kept whole, and looked at
        self.language = language

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> list[Finding]: ...
    def __getitem__(self, index: int | slice) -> Finding | list[Finding]:
        return self.findings[index]

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    @property
    def faults(self) -> list[str]:
        """The faults found, without repetition."""
        return list(dict.fromkeys(finding.fault for finding in self.findings))

    def summary(self, language: str) -> list[str]:
        """How many findings there are; what was looked for; what could not be."""
        words = WORDS[language]
        counts = [(sum(f.severity == s for f in self.findings), s) for s in SEVERITIES]
        found = ", ".join(f"{n} {words[s if n == 1 else s + 's']}" for n, s in counts if n)
        steps = words["one step" if self.steps == 1 else "steps"].format(n=self.steps)
        lines = [words["found"].format(found=found, steps=steps) if found else words["nothing"].format(steps=steps)]
        done = [TEXTS[c.fault][language]["name"] for c in self.checks if not c.why]
        if done:
            lines.append(words["checked"].format(names="; ".join(done)))
        reasons = dict.fromkeys(c.why for c in self.checks if c.why)
        for why in reasons:
            names = "; ".join(TEXTS[c.fault][language]["name"] for c in self.checks if c.why == why)
            lines.append(words["not checked"].format(why=words[why], names=names))
        for check in self.checks:
            if check.lacking:
                lines.append(words["lacking"].format(name=TEXTS[check.fault][language]["name"], tensors=listed(check.lacking, language)))
        lines += [words[key].format(**facts) for key, facts in self.notes]
        return lines

    def parts(self, language: str) -> list[Part]:
        first, *rest = self.summary(language)
        shown: list[Part] = [first]
        for finding in self.findings:
            shown += finding.parts(language)
        return [*shown, "\n".join(rest)] if rest else shown

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        language = known_language(self.language)
        first, *rest = self.summary(language)
        findings = [part for finding in self.findings for part in (finding.rich(Text, language), Text(""))]
        return Group(Text(first, "bold"), Text(""), *findings, Text("\n".join(rest), "dim"))

    def _repr_html_(self) -> str:
        language = known_language(self.language)
        first, *rest = self.summary(language)
        ends = "".join(f"<small><p>{escape(line)}</p></small>" for line in rest)
        return f"<div><p><b>{escape(first)}</b></p>{''.join(finding._repr_html_() for finding in self.findings)}{ends}</div>"

    def to_dict(self, language: str | None = None) -> dict[str, Any]:
        """Plain data, which JSON can hold."""
        language = known_language(language or self.language)
        return {
            "language": language,
            "steps": self.steps,
            "findings": [finding.to_dict(language) for finding in self.findings],
            "checked": [check.fault for check in self.checks if not check.why],
            "not_checked": {check.fault: WORDS[language][check.why] for check in self.checks if check.why},
            "lacking": {check.fault: list(check.lacking) for check in self.checks if check.lacking},
            "notes": [WORDS[language][key].format(**facts) for key, facts in self.notes],
        }
