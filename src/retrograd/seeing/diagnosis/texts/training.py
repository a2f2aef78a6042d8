"""Texts about the training loop."""

from __future__ import annotations

TEXTS: dict[str, dict[str, dict[str, str]]] = {
    "zero_grad": {
        "en": {
            "name": "forgotten zero_grad",
            "title": "Gradients of earlier steps are still in .grad",
            "what": "{update} used a sum of {n} backward passes for {names}: the old gradient (norm {norm}) plus the new one (norm {own}).",
            "cause": "backward() adds to .grad. Nothing cleared it after the update before, so that old gradients are used again and again.",
            "fix": "clear the gradients before each backward pass ({backward}).",
            "code": "{optimizer}.zero_grad()\n{loss}.backward()\n{optimizer}.step()",
        },
        "es": {
            "name": "zero_grad olvidado",
            "title": "Los gradientes de pasos anteriores siguen en .grad",
            "what": "{update} usó la suma de {n} pases hacia atrás para {names}: el gradiente viejo (norma {norm}) más el nuevo (norma {own}).",
            "cause": "backward() suma en .grad. No se vació tras la actualización anterior, así que los gradientes viejos se usan una y otra vez.",
            "fix": "vacía los gradientes antes de cada pase hacia atrás ({backward}).",
            "code": "{optimizer}.zero_grad()\n{loss}.backward()\n{optimizer}.step()",
        },
    },
    "zero_grad.hand": {
        "en": {"code": "{name}.grad = None  # after the update, for each parameter"},
        "es": {"code": "{name}.grad = None  # tras la actualización, para cada parámetro"},
    },
    "accumulation": {
        "en": {
            "name": "accumulation not divided",
            "title": "Accumulated gradients are not divided by the number of passes",
            "what": "{n} backward passes from a mean were added before the update ({update}); the gradient of {name} has norm {norm}, their mean would have {mean}.",
            "cause": "The mean over one large batch is the mean of the means of its {n} parts. Their sum is {n} times as large, as if the learning rate were. (Adam and others divide by the gradient's size, which hides it.)",
            "fix": "divide each loss by the number of passes.",
            "code": "({loss} / {n}).backward()",
        },
        "es": {
            "name": "acumulación sin dividir",
            "title": "Los gradientes acumulados no se dividen entre el número de pases",
            "what": "Antes de la actualización ({update}) se sumaron {n} pases hacia atrás desde una media; el gradiente de {name} tiene norma {norm}, y su media tendría {mean}.",
            "cause": "La media de un lote grande es la media de las medias de sus {n} partes. Su suma es {n} veces mayor, como si lo fuera la tasa de aprendizaje. (Adam y otros dividen por el tamaño del gradiente, y no se nota.)",
            "fix": "divide cada pérdida entre el número de pases.",
            "code": "({loss} / {n}).backward()",
        },
    },
    "step_before_backward": {
        "en": {
            "name": "step before backward",
            "title": "An update without a new gradient",
            "fix": "first backward(), then step().",
            "code": "{optimizer}.zero_grad()\n{loss}.backward()\n{optimizer}.step()",
        },
        "es": {
            "name": "step antes de backward",
            "title": "Una actualización sin gradiente nuevo",
            "fix": "primero backward(), después step().",
            "code": "{optimizer}.zero_grad()\n{loss}.backward()\n{optimizer}.step()",
        },
    },
    "step_before_backward.late": {
        "en": {
            "what": "{optimizer}.step() ran before {loss}.backward() ({backward}) of the same step.",
            "cause": "The update uses what is in .grad at that time: the gradient of the step before, or none at all. That of this step comes too late.",
        },
        "es": {
            "what": "{optimizer}.step() se ejecutó antes que {loss}.backward() ({backward}) del mismo paso.",
            "cause": "La actualización usa lo que hay en .grad en ese momento: el gradiente del paso anterior, o ninguno. El de este paso llega demasiado tarde.",
        },
    },
    "step_before_backward.none": {
        "en": {
            "what": "{optimizer}.step() changed nothing: none of its parameters ({names}) had a gradient.",
            "cause": "An optimizer skips parameters whose .grad is empty. No backward pass had filled any of them.",
        },
        "es": {
            "what": "{optimizer}.step() no cambió nada: ninguno de sus parámetros ({names}) tenía gradiente.",
            "cause": "Un optimizador se salta los parámetros cuyo .grad está vacío. Ningún pase hacia atrás los había llenado.",
        },
    },
    "step_before_backward.cleared": {
        "en": {
            "what": "{clearing} ({line}) cleared what {loss}.backward() ({backward}) had just brought; {optimizer}.step() then had nothing to go by.",
            "cause": "The gradients are there from backward() until they are cleared, and step() has to come in between.",
            "fix": "clear before backward(), or after step().",
        },
        "es": {
            "what": "{clearing} ({line}) borró lo que {loss}.backward() ({backward}) acababa de traer; {optimizer}.step() se quedó sin nada que usar.",
            "cause": "Los gradientes existen desde backward() hasta que se borran, y step() tiene que ir entre los dos.",
            "fix": "borra los gradientes antes de backward(), o después de step().",
        },
    },
    "step_before_backward.stale": {
        "en": {
            "what": "{optimizer}.step() updated {name} by a gradient that an earlier step ({first}) had used already.",
            "cause": "No backward pass came in between, so that the same gradient was used twice.",
        },
        "es": {
            "what": "{optimizer}.step() actualizó {name} con un gradiente que otro paso anterior ({first}) ya había usado.",
            "cause": "No hubo ningún pase hacia atrás entre los dos, así que el mismo gradiente se usó dos veces.",
        },
    },
    "not_optimized": {
        "en": {
            "name": "parameters without an optimizer",
            "title": "Parameters that no optimizer updates",
            "what": "{names} got gradients (the first of norm {norm}) but were never updated: {optimizer} ({kind}) does not have them.",
            "cause": "An optimizer updates what it was given when it was made. Modules made later, or kept in a plain list, are not among that.",
            "fix": "give them to the optimizer; or, if they are to stay as they are, say that they need no gradient.",
            "code": 'optimizer.add_param_group({{"params": [...]}})  # with {name}\n# or: parameter.requires_grad_(False)',
        },
        "es": {
            "name": "parámetros sin optimizador",
            "title": "Parámetros que ningún optimizador actualiza",
            "what": "{names} recibieron gradientes (el primero de norma {norm}) pero nunca se actualizaron: {optimizer} ({kind}) no los tiene.",
            "cause": "Un optimizador actualiza lo que se le dio al crearlo. Los módulos creados después, o guardados en una lista corriente, no están ahí.",
            "fix": "dáselos al optimizador; o, si han de quedarse como están, di que no necesitan gradiente.",
            "code": 'optimizer.add_param_group({{"params": [...]}})  # con {name}\n# o bien: parameter.requires_grad_(False)',
        },
    },
    "two_optimizers": {
        "en": {
            "name": "parameters of two optimizers",
            "title": "Two optimizers update the same parameters",
            "what": "{names}: updated by {one} (learning rate {rate}) and by {other} (learning rate {rate2}).",
            "cause": "Each gradient is used twice, and each optimizer's momentum knows nothing of the other's updates.",
            "fix": "give each parameter to one optimizer only.",
            "code": "taken = {{p for group in {first}.param_groups for p in group['params']}}\n{second} = torch.optim.{kind}([p for p in model.parameters() if p not in taken], lr={rate2})",
        },
        "es": {
            "name": "parámetros de dos optimizadores",
            "title": "Dos optimizadores actualizan los mismos parámetros",
            "what": "{names}: los actualizan {one} (tasa de aprendizaje {rate}) y {other} (tasa de aprendizaje {rate2}).",
            "cause": "Cada gradiente se usa dos veces, y el momento de cada optimizador no sabe nada de las actualizaciones del otro.",
            "fix": "da cada parámetro a un solo optimizador.",
            "code": "taken = {{p for group in {first}.param_groups for p in group['params']}}\n{second} = torch.optim.{kind}([p for p in model.parameters() if p not in taken], lr={rate2})",
        },
    },
    "no_learning_rate": {
        "en": {
            "name": "learning rate 0",
            "title": "The learning rate is 0",
            "what": "All updates by {optimizer} ({kind}) had lr=0 (steps watched: {steps}): nothing is learnt.",
            "cause": "The rate was set to 0, or a schedule has brought it there.",
            "fix": "set a learning rate, or look at the schedule.",
            "code": "for group in {optimizer}.param_groups:\n    group['lr'] = 1e-3",
        },
        "es": {
            "name": "tasa de aprendizaje 0",
            "title": "La tasa de aprendizaje es 0",
            "what": "Todas las actualizaciones de {optimizer} ({kind}) tenían lr=0 (pasos observados: {steps}): no se aprende nada.",
            "cause": "La tasa se fijó en 0, o un planificador la ha llevado ahí.",
            "fix": "fija una tasa de aprendizaje, o revisa el planificador.",
            "code": "for group in {optimizer}.param_groups:\n    group['lr'] = 1e-3",
        },
    },
    "decay_only": {
        "en": {
            "name": "updates by weight decay only",
            "title": "Only weight decay changes these parameters",
            "what": "The gradient of {names} was exactly zero in every update (seen: {steps}); weight decay ({decay}) took the norm from {before} to {after}.",
            "cause": "Zero is a gradient too: the optimizer goes on shrinking weights that the loss does not depend on, or no longer does.",
            "fix": "find out why no gradient gets there (dead units, a product with zero, an operation without slope); or leave them out of the decay.",
            "code": 'torch.optim.{kind}([{{"params": used}}, {{"params": unused, "weight_decay": 0.0}}])',
        },
        "es": {
            "name": "solo decaimiento de pesos",
            "title": "Solo el decaimiento de pesos cambia estos parámetros",
            "what": "El gradiente de {names} fue exactamente cero en todas las actualizaciones (vistas: {steps}); el decaimiento ({decay}) llevó la norma de {before} a {after}.",
            "cause": "Cero también es un gradiente: el optimizador sigue encogiendo pesos de los que la pérdida no depende, o ya no depende.",
            "fix": "averigua por qué no llega gradiente (unidades muertas, un producto con cero, una operación sin pendiente); o exclúyelos del decaimiento.",
            "code": 'torch.optim.{kind}([{{"params": used}}, {{"params": unused, "weight_decay": 0.0}}])',
        },
    },
}
