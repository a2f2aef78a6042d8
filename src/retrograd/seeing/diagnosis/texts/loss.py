"""Texts about losses."""

from __future__ import annotations

TEXTS: dict[str, dict[str, dict[str, str]]] = {
    "broadcast": {
        "en": {
            "name": "silent broadcast in a loss",
            "title": "The loss compares every output with every target",
            "what": "{one} has shape {shape1}, {other} has {shape2}: together {shape}, which are {pairs} errors instead of {wanted}.",
            "cause": "Shapes are aligned from the right, so that a column and a row spread over each other. The best answer to such a loss is a constant.",
            "fix": "give both the same shape.",
            "code": "torch.squeeze({wide}, -1)  # {flat} has one dimension",
        },
        "es": {
            "name": "difusión silenciosa en una pérdida",
            "title": "La pérdida compara cada salida con todos los objetivos",
            "what": "{one} tiene la forma {shape1} y {other}, {shape2}: juntos {shape}, que son {pairs} errores en lugar de {wanted}.",
            "cause": "Las formas se alinean por la derecha, así que una columna y una fila se extienden la una sobre la otra. La mejor respuesta a una pérdida así es una constante.",
            "fix": "da a los dos la misma forma.",
            "code": "torch.squeeze({wide}, -1)  # {flat} tiene una dimensión",
        },
    },
    "double_softmax": {
        "en": {"name": "double softmax", "title": "Softmax is applied twice", "fix": "give the loss the logits themselves.", "code": "loss = F.cross_entropy({logits}, target)  # with no softmax before"},
        "es": {"name": "softmax doble", "title": "Se aplica softmax dos veces", "fix": "da a la pérdida los propios logits.", "code": "loss = F.cross_entropy({logits}, target)  # sin softmax antes"},
    },
    "double_softmax.twice": {
        "en": {
            "what": "{source} is a softmax already ({inner}), and a softmax is applied to it once more.",
            "cause": "Probabilities lie between 0 and 1, so that the second softmax makes them almost equal: the loss cannot get small, and gradients are weak.",
        },
        "es": {
            "what": "{source} ya es un softmax ({inner}), y se le aplica softmax otra vez.",
            "cause": "Las probabilidades están entre 0 y 1, y el segundo softmax las vuelve casi iguales: la pérdida no puede ser pequeña y los gradientes son débiles.",
        },
    },
    "double_softmax.again": {
        "en": {
            "what": "{source} is a log_softmax already ({inner}), and the loss takes another.",
            "cause": "log_softmax of log_softmax is the same again: right, but worked out twice.",
            "fix": "use nll_loss, the loss for log-probabilities.",
            "code": "loss = F.nll_loss({source}, target)",
        },
        "es": {
            "what": "{source} ya es un log_softmax ({inner}), y la pérdida calcula otro.",
            "cause": "log_softmax de log_softmax es lo mismo: correcto, pero calculado dos veces.",
            "fix": "usa nll_loss, la pérdida para logaritmos de probabilidades.",
            "code": "loss = F.nll_loss({source}, target)",
        },
    },
    "double_softmax.rows": {
        "en": {
            "what": "All rows of {source}, of shape {shape}, are at least 0 and add up to 1: these look like probabilities, and a softmax is applied to them.",
            "cause": "cross_entropy expects logits, numbers of any size, and takes the softmax itself.",
            "code": "loss = F.nll_loss(torch.log({source}), target)",
        },
        "es": {
            "what": "Todas las filas de {source}, de forma {shape}, son al menos 0 y suman 1: parecen probabilidades, y se les aplica softmax.",
            "cause": "cross_entropy espera logits, números de cualquier tamaño, y calcula el softmax por sí misma.",
            "code": "loss = F.nll_loss(torch.log({source}), target)",
        },
    },
    "double_softmax.squashed": {
        "en": {
            "title": "Logits that are kept within limits",
            "what": "{source} is the result of {op} ({inner}), and lies between {least} and 1; cross_entropy takes a softmax of it.",
            "cause": "cross_entropy expects logits, numbers of any size. Where they differ by so little, no class can get a probability near 1, and the loss cannot get small.",
            "code": "loss = F.cross_entropy({logits}, target)  # with no {op} before",
        },
        "es": {
            "title": "Logits que no pueden salir de unos límites",
            "what": "{source} es el resultado de {op} ({inner}) y está entre {least} y 1; cross_entropy le aplica softmax.",
            "cause": "cross_entropy espera logits, números de cualquier tamaño. Si se diferencian tan poco, ninguna clase puede tener una probabilidad cercana a 1 y la pérdida no puede ser pequeña.",
            "code": "loss = F.cross_entropy({logits}, target)  # sin {op} antes",
        },
    },
    "nll_on_logits": {
        "en": {
            "name": "nll_loss without log_softmax",
            "title": "nll_loss is given no log-probabilities",
            "what": "Log-probabilities are at most 0, and their exponentials add up to 1. In {source} the largest is {most}, and the exponentials of the first row add up to {sum}.",
            "cause": "nll_loss only picks a number out of each row. Without log_softmax it can fall without limit, and means nothing.",
            "fix": "use cross_entropy on the logits.",
            "code": "loss = F.cross_entropy({source}, target)",
        },
        "es": {
            "name": "nll_loss sin log_softmax",
            "title": "nll_loss no recibe logaritmos de probabilidades",
            "what": "Los logaritmos de probabilidades son como mucho 0, y sus exponenciales suman 1. En {source} el mayor es {most}, y las exponenciales de la primera fila suman {sum}.",
            "cause": "nll_loss solo toma un número de cada fila. Sin log_softmax puede bajar sin límite y no significa nada.",
            "fix": "usa cross_entropy con los logits.",
            "code": "loss = F.cross_entropy({source}, target)",
        },
    },
    "nll_on_logits.logits": {"en": {}, "es": {}},
    "nll_on_logits.probabilities": {
        "en": {"cause": "It is a softmax without its logarithm. nll_loss expects logarithms.", "fix": "take the logarithm; or, better, use cross_entropy on the logits, without the softmax.", "code": "loss = F.nll_loss(torch.log({source}), target)"},
        "es": {"cause": "Es un softmax sin su logaritmo. nll_loss espera logaritmos.", "fix": "toma el logaritmo; o, mejor, usa cross_entropy con los logits, sin softmax.", "code": "loss = F.nll_loss(torch.log({source}), target)"},
    },
    "nll_on_logits.divergence": {
        "en": {"title": "kl_div is given no log-probabilities", "cause": "kl_div takes the logarithms of the probabilities that the network gives, and the probabilities themselves as its target.", "fix": "give it log_softmax of the logits.", "code": 'loss = F.kl_div(F.log_softmax({logits}, -1), target, reduction="batchmean")'},
        "es": {"title": "kl_div no recibe logaritmos de probabilidades", "cause": "kl_div toma los logaritmos de las probabilidades que da la red y, como objetivo, las probabilidades mismas.", "fix": "dale log_softmax de los logits.", "code": 'loss = F.kl_div(F.log_softmax({logits}, -1), target, reduction="batchmean")'},
    },
    "double_sigmoid": {
        "en": {
            "name": "sigmoid before a loss on logits",
            "title": "The sigmoid is applied twice",
            "what": "binary_cross_entropy_with_logits takes {source}, to which {name} has been applied ({inner}): it lies between {least} and {most}.",
            "cause": "The loss has the sigmoid in it. Of numbers between 0 and 1 it gives 0.5 to 0.73, never near 0.",
            "fix": "give it the logits; or use binary_cross_entropy.",
            "code": "loss = F.binary_cross_entropy_with_logits({logits}, target)  # with no {name} before",
        },
        "es": {
            "name": "sigmoide antes de una pérdida con logits",
            "title": "Se aplica la sigmoide dos veces",
            "what": "binary_cross_entropy_with_logits recibe {source}, a lo que ya se aplicó {name} ({inner}): está entre {least} y {most}.",
            "cause": "La pérdida lleva dentro la sigmoide. De números entre 0 y 1 da de 0.5 a 0.73, nunca cerca de 0.",
            "fix": "dale los logits, o usa binary_cross_entropy.",
            "code": "loss = F.binary_cross_entropy_with_logits({logits}, target)  # sin {name} antes",
        },
    },
    "argument_order": {
        "en": {
            "name": "order of a loss's arguments",
            "title": "Input and target of the loss seem to be swapped",
            "what": "{target}, given as the target, needs a gradient; {input}, given as the input, needs none.",
            "cause": "The first argument is what the network says, the second what is right. The loss is not symmetric.",
            "fix": "swap the arguments.",
            "code": "loss_fn({target}, {input})",
        },
        "es": {
            "name": "orden de los argumentos de una pérdida",
            "title": "La entrada y el objetivo de la pérdida parecen intercambiados",
            "what": "{target}, dado como objetivo, necesita gradiente; {input}, dado como entrada, no.",
            "cause": "El primer argumento es lo que dice la red; el segundo, lo correcto. La pérdida no es simétrica.",
            "fix": "intercambia los argumentos.",
            "code": "loss_fn({target}, {input})",
        },
    },
}  # fmt: skip
