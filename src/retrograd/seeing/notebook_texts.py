"""What notebooks say of tensors, modules, graphs and records, in English and Spanish."""

from __future__ import annotations

NOTEBOOK = {
    "en": {
        "norm": "norm", "mean": "mean", "std": "std", "least": "least", "most": "most", "zeros": "zeros", "bad": "not finite",
        "histogram": "histogram", "sampled": "Of {n} evenly spaced elements.", "parameter": "parameter", "shape": "shape",
        "dtype": "dtype", "elements": "elements", "gradient": "needs gradient", "yes": "yes", "no": "no", "total": "{n} parameters in all",
        "record": "{watched} steps watched, {kept} kept whole", "failed": "It crashed in step {step}: {kind}: {message}",
        "nothing": "Nothing was recorded.",
    },
    "es": {
        "norm": "norma", "mean": "media", "std": "desv. típica", "least": "mínimo", "most": "máximo", "zeros": "ceros", "bad": "no finitos",
        "histogram": "histograma", "sampled": "De {n} elementos equidistantes.", "parameter": "parámetro", "shape": "forma",
        "dtype": "dtype", "elements": "elementos", "gradient": "necesita gradiente", "yes": "sí", "no": "no",
        "total": "{n} parámetros en total", "record": "{watched} pasos observados, {kept} conservados enteros",
        "failed": "Falló en el paso {step}: {kind}: {message}", "nothing": "No se registró nada.",
    },
}  # fmt: skip
