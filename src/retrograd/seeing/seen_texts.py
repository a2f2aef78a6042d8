"""What a record says of itself, in English and Spanish. Pairs are one and more."""

from __future__ import annotations

from typing import Any

SEEN: dict[str, dict[str, Any]] = {
    "en": {
        "overview": "{steps}, {kept}: {operations}, {passes}, {updates}",
        "steps": ("{n} step watched", "{n} steps watched"),
        "kept": ("{n} kept whole", "{n} kept whole"),
        "operations": ("{n} operation", "{n} operations"),
        "passes": ("{n} backward pass", "{n} backward passes"),
        "updates": ("{n} update", "{n} updates"),
        "nothing": "Nothing was recorded: no operation ran while the program was watched.",
        "operation": "operation",
        "result": "result",
        "module": "module",
        "line": "in the program",
        "more": "and {n} more operations",
        "failed": "The program crashed: {kind}: {message} ({line})",
        "ask": "Ask it: record.chain(name), record.ledger(), record.flow(), record.diagnosis(), record.save('page.html').",
    },
    "es": {
        "overview": "{steps}, {kept}: {operations}, {passes}, {updates}",
        "steps": ("{n} paso observado", "{n} pasos observados"),
        "kept": ("{n} guardado entero", "{n} guardados enteros"),
        "operations": ("{n} operación", "{n} operaciones"),
        "passes": ("{n} pase hacia atrás", "{n} pases hacia atrás"),
        "updates": ("{n} actualización", "{n} actualizaciones"),
        "nothing": "No se registró nada: no se ejecutó ninguna operación mientras se observaba el programa.",
        "operation": "operación",
        "result": "resultado",
        "module": "módulo",
        "line": "en el programa",
        "more": "y {n} operaciones más",
        "failed": "El programa falló: {kind}: {message} ({line})",
        "ask": "Pregúntale: record.chain(nombre), record.ledger(), record.flow(), record.diagnosis(), record.save('pagina.html').",
    },
}
