"""The detectors, by the fault that each looks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from retrograd.seeing.diagnosis.evidence import Evidence
from retrograd.seeing.diagnosis.finding import Finding

Look = Callable[[Evidence], Iterator[Finding]]


@dataclass(frozen=True)
class Detector:
    """Looks for one fault."""

    fault: str
    look: Look
    needs: tuple[str, ...]  # what a record must have for it: see `Evidence.has`


DETECTORS: dict[str, Detector] = {}


def detector(fault: str, *needs: str) -> Callable[[Look], Look]:
    """Registers a function that yields a finding wherever a record has the fault."""

    def register(look: Look) -> Look:
        DETECTORS[fault] = Detector(fault, look, needs)
        return look

    return register
