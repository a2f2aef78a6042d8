"""What the programs say, in English and Spanish."""

from __future__ import annotations

from retrograd.seeing.language import LANGUAGES, default_language, grouped

__all__ = ["BENCH", "LANGUAGES", "TRAIN", "UserError", "default_language", "grouped"]


class UserError(Exception):
    """Something that the user can mend; its message says how."""


TRAIN = {
    "en": {
        "data": "{train} digits to learn from, {test} held out; a network 784 -> 256 -> 10 with {weights} weights; "
        "batch {batch}, learning rate {lr:g}, seed {seed}",
        "source": "digits: {where}",
        "packaged": "those that come with the package (the first 500 of each class in MNIST)",
        "epoch": "epoch {epoch:>{width}}/{epochs}   loss {loss:.4f}   test accuracy {accuracy:5.1f} %   {seconds:.1f} s",
        "training": "epoch {epoch}/{epochs}",
        "done": "finished: test accuracy {last:.1f} % after {epochs} epochs (best: {best:.1f} %, epoch {at})",
        "interrupted": "interrupted in epoch {epoch}: what was trained is kept (test accuracy {last:.1f} %)",
        "wrote": "wrote {path}",
        "before": "first-layer weights before",
        "after": "and after",
        "loss": "loss (mean over an epoch)",
        "accuracy": "test accuracy (%)",
        "epoch axis": "epoch",
        "title": "784 -> 256 -> 10 by backpropagation: {last:.1f} % of {test} digits it had never seen",
    },
    "es": {
        "data": "{train} dígitos para aprender, {test} apartados; una red 784 -> 256 -> 10 con {weights} pesos; "
        "lote {batch}, tasa de aprendizaje {lr:g}, semilla {seed}",
        "source": "dígitos: {where}",
        "packaged": "los que vienen con el paquete (los primeros 500 de cada clase de MNIST)",
        "epoch": "época {epoch:>{width}}/{epochs}   pérdida {loss:.4f}   acierto en la prueba {accuracy:5.1f} %   {seconds:.1f} s",
        "training": "época {epoch}/{epochs}",
        "done": "listo: acierto en la prueba {last:.1f} % tras {epochs} épocas (el mejor: {best:.1f} %, época {at})",
        "interrupted": "interrumpido en la época {epoch}: se conserva lo entrenado (acierto en la prueba {last:.1f} %)",
        "wrote": "guardado {path}",
        "before": "pesos de la primera capa, antes",
        "after": "y después",
        "loss": "pérdida (media de la época)",
        "accuracy": "acierto en la prueba (%)",
        "epoch axis": "época",
        "title": "784 -> 256 -> 10 por retropropagación: {last:.1f} % de {test} dígitos que no había visto",
    },
}

BENCH = {
    "en": {
        "title": "Time of a step (median of 9 turns)",
        "caption": "ratios above 1: the first column is faster",
        "no torch": "ratios above 1: the first column is faster; PyTorch is not installed",
        "step": "step",
        "compiled": "compiled",
        "eager": "eager",
        "torch": "PyTorch",
        "ratio": "beside {name}",
        "note 1": "the note's training step, batch 1",
        "note 16": "the note's training step, batch 16",
        "note 64": "the note's training step, batch 64",
        "note 256": "the note's training step, batch 256",
        "pointwise": "tanh, exp and log sigmoid of 1M numbers, with gradient",
        "gpt": "a small GPT's training step",
    },
    "es": {
        "title": "Tiempo de un paso (mediana de 9 turnos)",
        "caption": "cociente mayor que 1: la primera columna es más rápida",
        "no torch": "cociente mayor que 1: la primera columna es más rápida; PyTorch no está instalado",
        "step": "paso",
        "compiled": "compilado",
        "eager": "sin compilar",
        "torch": "PyTorch",
        "ratio": "frente a {name}",
        "note 1": "el paso de entrenamiento de la nota, lote 1",
        "note 16": "el paso de entrenamiento de la nota, lote 16",
        "note 64": "el paso de entrenamiento de la nota, lote 64",
        "note 256": "el paso de entrenamiento de la nota, lote 256",
        "pointwise": "tanh, exp y log sigmoide de un millón de números, con gradiente",
        "gpt": "el paso de entrenamiento de un GPT pequeño",
    },
}
