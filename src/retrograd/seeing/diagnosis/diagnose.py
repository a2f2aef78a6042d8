"""Runs all detectors over a record."""

from __future__ import annotations

import numpy as np

from retrograd.seeing.diagnosis.evidence import Evidence
from retrograd.seeing.diagnosis.finding import SEVERITIES, Check, Diagnosis, Finding
from retrograd.seeing.diagnosis.registry import DETECTORS
from retrograd.seeing.language import known_language
from retrograd.seeing.record import Record


def diagnose(record: Record, language: str | None = None) -> Diagnosis:
    """Looks for faults in the steps of a record that were kept whole, and in how the program crashed.

    Args:
        record: what `see()` gave.
        language: "en" or "es"; None: the locale's.

    Returns:
        The findings, the gravest first, with what was checked and what could not be.

    Raises:
        ValueError: if there are no texts in the language.

    >>> import retrograd as torch
    >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
    >>> with torch.see() as record:
    ...     x.sqrt().sum().backward()
    >>> diagnosis = diagnose(record, "en")
    >>> diagnosis.faults, diagnosis[0].severity, diagnosis[0].title
    (['not_finite'], 'error', 'Values that are not numbers (nan or inf)')
    """
    language = known_language(language)
    seen = Evidence(record)
    findings: list[Finding] = []
    checks = []
    for fault, detector in DETECTORS.items():
        missing = next((need for need in detector.needs if not seen.has(need)), "")
        seen.lacking = []
        if not missing:
            with np.errstate(all="ignore"):  # numbers may be anything where something is wrong
                findings += detector.look(seen)
        checks.append(Check(fault, missing, tuple(seen.lacking)))
    for finding in findings:
        finding.language = language
    findings.sort(key=lambda f: SEVERITIES.index(f.severity))
    dropped = sum(step.dropped for step in seen.steps)
    notes = [("dropped", {"n": dropped})] if dropped else []
    if record.watched > len(seen.steps):
        notes.append(("not kept", {"n": record.watched - len(seen.steps), "keep": record.keep}))
    return Diagnosis(findings, checks, notes, len(seen.steps), language)
