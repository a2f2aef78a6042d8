"""What is wrong with a program, found in a record of it: cause, line and fix, in English and Spanish.

evidence   what a record shows, in the form that detectors ask for
limits     from when on something is called a fault, and why
registry   the detectors, by fault; a module for each theme has them, with its texts in `texts/`
finding    what a diagnosis consists of, and how it is shown
"""

from __future__ import annotations

from retrograd.seeing.diagnosis import broken, loss, network, rates, training
from retrograd.seeing.diagnosis.diagnose import diagnose
from retrograd.seeing.diagnosis.finding import Check, Diagnosis, Finding
from retrograd.seeing.diagnosis.registry import DETECTORS

__all__ = ["DETECTORS", "Check", "Diagnosis", "Finding", "diagnose"]
