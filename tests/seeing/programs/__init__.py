"""Programs that the diagnosis is held against."""

from __future__ import annotations

from tests.seeing.programs import (
    faulty_crashes,
    faulty_gradients,
    faulty_loops,
    faulty_losses,
    faulty_networks,
    sound_models,
    sound_training,
)
from tests.seeing.programs.shared import FAULTY_PROGRAMS, SOUND_PROGRAMS

__all__ = [
    "FAULTY_PROGRAMS", "SOUND_PROGRAMS", "faulty_crashes", "faulty_gradients", "faulty_loops", "faulty_losses", "faulty_networks", "sound_models",
    "sound_training",
]  # fmt: skip
