"""Texts about what grows, or hardly changes, from step to step."""

from __future__ import annotations

TEXTS: dict[str, dict[str, dict[str, str]]] = {
    "diverging": {
        "en": {
            "name": "growth without bound",
            "title": "The loss grows without bound",
            "what": "Over {steps} steps the loss went from {first} to {last}, by a factor of about {factor} at each. At this pace {left} more will take it past the largest number there is ({most}).",
        },
        "es": {
            "name": "crecimiento sin límite",
            "title": "La pérdida crece sin límite",
            "what": "En {steps} pasos la pérdida pasó de {first} a {last}, con un factor de {factor} más o menos en cada uno. A este ritmo, con {left} más superará el mayor número que existe ({most}).",
        },
    },
    "diverging.rate": {
        "en": {
            "cause": "Each update ({update}) goes so far past the lowest point that the slope there is steeper than before, and the next update is larger still. The median ratio of update to weight is {ratio}; about 0.001 is usual.",
            "fix": "a smaller learning rate; or clip the gradients before the update.",
            "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n{update}  # with a rate ten times smaller",
        },
        "es": {
            "cause": "Cada actualización ({update}) pasa tan lejos del punto más bajo que allí la pendiente es mayor que antes, y la siguiente actualización es aún más grande. La mediana del cociente entre actualización y peso es {ratio}; lo normal es 0.001.",
            "fix": "una tasa de aprendizaje menor; o recorta los gradientes antes de la actualización.",
            "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n{update}  # con una tasa diez veces menor",
        },
    },
    "diverging.gradient": {
        "en": {
            "title": "The gradient grows without bound",
            "what": "Over {steps} steps the norm of the gradient went from {first} to {last}, by a factor of about {factor} at each. At this pace {left} more will take it past the largest number there is ({most}).",
            "cause": "The gradient depends on the weights, and each update ({update}) makes them so much larger that the next gradient is larger too. The median ratio of update to weight is {ratio}; about 0.001 is usual.",
            "fix": "clip the gradients before the update, and use a smaller learning rate.",
            "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n{update}",
        },
        "es": {
            "title": "El gradiente crece sin límite",
            "what": "En {steps} pasos la norma del gradiente pasó de {first} a {last}, con un factor de {factor} más o menos en cada uno. A este ritmo, con {left} más superará el mayor número que existe ({most}).",
            "cause": "El gradiente depende de los pesos, y cada actualización ({update}) los agranda tanto que el gradiente siguiente también es mayor. La mediana del cociente entre actualización y peso es {ratio}; lo normal es 0.001.",
            "fix": "recorta los gradientes antes de la actualización, y usa una tasa de aprendizaje menor.",
            "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n{update}",
        },
    },
    "diverging.below": {
        "en": {
            "title": "The loss falls without bound",
            "cause": "Gradient descent makes a loss small, and this one has no minimum: the further the weights go, the lower it gets. That happens when a sign is wrong, or when a term that should hold it back is missing.",
            "fix": "minimise something that cannot fall below a limit: an error, a distance, a negative log-likelihood of probabilities.",
            "code": "loss = F.cross_entropy(logits, target)  # or: loss = error.square().mean(), with a plus",
        },
        "es": {
            "title": "La pérdida baja sin límite",
            "cause": "El descenso de gradiente hace pequeña la pérdida, y esta no tiene mínimo: cuanto más lejos llegan los pesos, más baja. Pasa cuando un signo está mal, o cuando falta un término que la frene.",
            "fix": "minimiza algo que no pueda bajar de un límite: un error, una distancia, el logaritmo negativo de una verosimilitud.",
            "code": "loss = F.cross_entropy(logits, target)  # o bien: loss = error.square().mean(), con signo más",
        },
    },
    "diverging.carried": {
        "en": {
            "title": "Numbers grow from step to step",
            "what": "Over {steps} steps {quantity} went from {first} to {last}, by a factor of about {factor} at each. At this pace {left} more will take it past the largest number there is ({most}).",
            "cause": "Updates do not explain it: they are small beside the weights (ratio {ratio}). Something that the program carries along from step to step grows: a state, a running sum, or the data.",
            "fix": "begin each step with what does not depend on the steps before, or keep it in bounds.",
            "code": "state = torch.tanh(state).detach()  # or state = torch.zeros_like(state)",
        },
        "es": {
            "title": "Hay números que crecen de un paso a otro",
            "what": "En {steps} pasos {quantity} pasó de {first} a {last}, con un factor de {factor} más o menos en cada uno. A este ritmo, con {left} más superará el mayor número que existe ({most}).",
            "cause": "Las actualizaciones no lo explican: son pequeñas frente a los pesos (cociente {ratio}). Crece algo que el programa arrastra de un paso a otro: un estado, una suma acumulada o los datos.",
            "fix": "empieza cada paso con algo que no dependa de los anteriores, o mantenlo dentro de unos límites.",
            "code": "state = torch.tanh(state).detach()  # o bien state = torch.zeros_like(state)",
        },
    },
    "learning_rate_high.still": {
        "en": {"title": "The loss hardly falls: the learning rate seems too high", "what": "Over {steps} steps the loss went from {first} to {last}, and every update was large beside the weights: the median ratio is {ratio} (about 0.001 is usual), the largest at {name}."},
        "es": {"title": "La pérdida apenas baja: la tasa de aprendizaje parece demasiado alta", "what": "En {steps} pasos la pérdida pasó de {first} a {last}, y todas las actualizaciones fueron grandes frente a los pesos: la mediana del cociente es {ratio} (lo normal es 0.001), y el mayor es el de {name}."},
    },
    "learning_rate_high.still_hand": {
        "en": {"title": "The loss hardly falls: the steps seem too large", "what": "Over {steps} steps the loss went from {first} to {last}, and every update was large beside the weights: the median ratio is {ratio} (about 0.001 is usual), the largest at {name}.", "cause": "Steps of that size ({update}) go beyond where the gradient says anything.", "code": "{update}  # with a factor ten times smaller"},
        "es": {"title": "La pérdida apenas baja: los pasos parecen demasiado grandes", "what": "En {steps} pasos la pérdida pasó de {first} a {last}, y todas las actualizaciones fueron grandes frente a los pesos: la mediana del cociente es {ratio} (lo normal es 0.001), y el mayor es el de {name}.", "cause": "Pasos de ese tamaño ({update}) van más allá de donde el gradiente dice algo.", "code": "{update}  # con un factor diez veces menor"},
    },
    "learning_rate_high.hand": {
        "en": {"cause": "Steps of that size ({update}) go beyond where the gradient says anything.", "code": "{update}  # with a factor ten times smaller"},
        "es": {"cause": "Pasos de ese tamaño ({update}) van más allá de donde el gradiente dice algo.", "code": "{update}  # con un factor diez veces menor"},
    },
    "learning_rate_high": {
        "en": {"name": "learning rate too high", "title": "The loss grows: the learning rate seems too high", "what": "Over {steps} steps the loss went from {first} to {last}; the median ratio of update to weight is {ratio} (about 0.001 is usual), the largest at {name}.",
               "cause": "Steps of that size ({optimizer}, lr={rate}) go beyond where the gradient says anything.", "fix": "a smaller learning rate.", "code": "for group in {optimizer}.param_groups:\n    group['lr'] = {lower}"},
        "es": {"name": "tasa de aprendizaje alta", "title": "La pérdida crece: la tasa de aprendizaje parece demasiado alta", "what": "En {steps} pasos la pérdida pasó de {first} a {last}; la mediana del cociente entre actualización y peso es {ratio} (lo normal es 0.001), y el mayor es el de {name}.",
               "cause": "Pasos de ese tamaño ({optimizer}, lr={rate}) van más allá de donde el gradiente dice algo.", "fix": "una tasa de aprendizaje menor.", "code": "for group in {optimizer}.param_groups:\n    group['lr'] = {lower}"},
    },
    "learning_rate_low": {
        "en": {"name": "learning rate too low", "title": "The learning rate may be too low", "what": "The largest ratio of update to weight is {ratio} ({name}); about 0.001 is usual.",
               "cause": "With lr={rate} the weights hardly move, though there are gradients.", "fix": "a larger learning rate.", "code": "for group in {optimizer}.param_groups:\n    group['lr'] = {higher}"},
        "es": {"name": "tasa de aprendizaje baja", "title": "La tasa de aprendizaje quizá sea demasiado baja", "what": "El mayor cociente entre actualización y peso es {ratio} ({name}); lo normal es 0.001.",
               "cause": "Con lr={rate} los pesos apenas se mueven, aunque hay gradientes.", "fix": "una tasa de aprendizaje mayor.", "code": "for group in {optimizer}.param_groups:\n    group['lr'] = {higher}"},
    },
    "graph_kept": {
        "en": {"name": "graph kept alive", "title": "The graphs of past losses are kept alive", "what": "{expression} added up {steps} tensors with their whole histories; the results in one such history take {bytes} bytes.",
               "cause": "The sum refers to the graph of every loss in it, so that memory grows with every loss.", "fix": "add the number.", "code": "total += {number}"},
        "es": {"name": "grafo retenido", "title": "Los grafos de pérdidas anteriores se quedan en memoria", "what": "{expression} sumó {steps} tensores con toda su historia; los resultados de una historia así ocupan {bytes} bytes.",
               "cause": "La suma se refiere al grafo de cada pérdida que contiene, y la memoria crece con cada pérdida.", "fix": "suma el número.", "code": "total += {number}"},
    },
    "graph_kept.list": {
        "en": {"what": "The losses of {steps} steps are all there still, each with its graph: {expression}",
               "cause": "A tensor refers to the graph that it was computed by, so that memory grows with every loss that is put away.", "fix": "keep the number.", "code": "{code}"},
        "es": {"what": "Las pérdidas de {steps} pasos siguen ahí, cada una con su grafo: {expression}",
               "cause": "Un tensor se refiere al grafo con el que se calculó, y la memoria crece con cada pérdida que se guarda.", "fix": "guarda el número.", "code": "{code}"},
    },
}  # fmt: skip
