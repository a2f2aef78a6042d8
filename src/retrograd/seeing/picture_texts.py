"""What pictures say, in English and Spanish."""

from __future__ import annotations

PICTURE = {
    "en": {
        "calls": "{n} operations", "loss": "loss", "step": "step", "output": "outputs of layers (norm)", "gradient": "gradients of parameters (norm)", "ratio": "update / weights",
        "failed": "failed here", "description": "Graph of step {step}: {n} nodes, {m} edges", "histogram": "outputs in the last step",
        "update": "Step {step}: parameters before, gradients, updates", "before": "before", "grad": "gradient", "change": "update",
    },
    "es": {
        "calls": "{n} operaciones", "loss": "pérdida", "step": "paso", "output": "salidas de las capas (norma)", "gradient": "gradientes de los parámetros (norma)", "ratio": "cambio / pesos",
        "failed": "falló aquí", "description": "Grafo del paso {step}: {n} nodos, {m} aristas", "histogram": "salidas en el último paso",
        "update": "Paso {step}: parámetros antes, gradientes, cambios", "before": "antes", "grad": "gradiente", "change": "cambio",
    },
}  # fmt: skip
