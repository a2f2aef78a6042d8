"""What findings say, in English and Spanish. A key `fault.variant` has what is different for one kind of a fault.

`name` is the fault in a list, `title` over a finding; `what` happened, with the numbers; its `cause`; the `fix`, with `code`.
"""

from __future__ import annotations

from retrograd.seeing.diagnosis.texts.broken import TEXTS as BROKEN
from retrograd.seeing.diagnosis.texts.loss import TEXTS as LOSS
from retrograd.seeing.diagnosis.texts.network import TEXTS as NETWORK
from retrograd.seeing.diagnosis.texts.rates import TEXTS as RATES
from retrograd.seeing.diagnosis.texts.training import TEXTS as TRAINING

TEXTS: dict[str, dict[str, dict[str, str]]] = {**TRAINING, **LOSS, **BROKEN, **NETWORK, **RATES}

WORDS = {
    "en": {
        "error": "error", "errors": "errors", "warning": "warning", "warnings": "warnings", "hint": "hint", "hints": "hints",
        "and": "and", "more": "and {n} more", "fix": "Fix", "step": "step {n}", "one step": "1 step", "steps": "{n} steps",
        "found": "Found: {found} (in {steps}).",
        "nothing": "Nothing found in {steps}.",
        "checked": "Checked: {names}.",
        "not checked": "Not checked, {why}: {names}.",
        "passes": "for there was no backward pass",
        "updates": "for nothing was updated",
        "stepped": "for no optimizer took a step",
        "several": "for no two steps in a row were watched",
        "modules": "for no module was called",
        "failure": "for the program did not crash",
        "steps kept": "for no step was recorded",
        "lacking": "Only in part: {name}; the numbers of these tensors were not kept (see limit=): {tensors}.",
        "dropped": "{n} calls beyond the most that a step may have were not kept; what happened there was not looked at.",
        "not kept": "{n} steps were watched but not kept (keep={keep}); what happened there was not looked at.",
    },
    "es": {
        "error": "error", "errors": "errores", "warning": "aviso", "warnings": "avisos", "hint": "pista", "hints": "pistas",
        "and": "y", "more": "y {n} más", "fix": "Solución", "step": "paso {n}", "one step": "1 paso", "steps": "{n} pasos",
        "found": "Encontrado: {found} (en {steps}).",
        "nothing": "No se encontró nada en {steps}.",
        "checked": "Se comprobó: {names}.",
        "not checked": "No se comprobó, {why}: {names}.",
        "passes": "porque no hubo ningún pase hacia atrás",
        "updates": "porque nada se actualizó",
        "stepped": "porque ningún optimizador dio un paso",
        "several": "porque no se observaron dos pasos seguidos",
        "modules": "porque no se llamó a ningún módulo",
        "failure": "porque el programa no se interrumpió",
        "steps kept": "porque no se registró ningún paso",
        "lacking": "Solo en parte: {name}; no se guardaron los números de estos tensores (véase limit=): {tensors}.",
        "dropped": "No se guardaron {n} llamadas que excedían el máximo de un paso; lo que pasó en ellas no se ha mirado.",
        "not kept": "Se observaron {n} pasos que no se guardaron (keep={keep}); lo que pasó en ellos no se ha mirado.",
    },
}  # fmt: skip
