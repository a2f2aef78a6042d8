"""Texts about gradients that do not come or are not numbers, and about crashes."""

from __future__ import annotations

TEXTS: dict[str, dict[str, dict[str, str]]] = {
    "no_gradient": {
        "en": {"name": "no gradient", "title": "Parameters that get no gradient", "what": "No backward pass brought a gradient to {names} (steps watched: {steps})."},
        "es": {"name": "sin gradiente", "title": "Parámetros que no reciben gradiente", "what": "Ningún pase hacia atrás llevó un gradiente a {names} (pasos observados: {steps})."},
    },
    "no_gradient.unused": {
        "en": {
            "cause": "No operation that was seen leads from there to the loss.",
            "fix": "use them in forward(), or remove them.",
            "code": "parameter.requires_grad_(False)  # if {name} is to stay as it is",
        },
        "es": {
            "cause": "Ninguna operación observada lleva desde ahí hasta la pérdida.",
            "fix": "úsalos en forward(), o quítalos.",
            "code": "parameter.requires_grad_(False)  # si {name} ha de quedarse como está",
        },
    },
    "no_gradient.left": {
        "en": {
            "cause": "What is computed from them leaves the graph at {line} ({expression}), and no way back to the loss was seen.",
            "fix": "keep to tensors and to the library's operations up to the loss.",
            "code": "{keep}  # without {expression}",
        },
        "es": {
            "cause": "Lo que se calcula con ellos sale del grafo en {line} ({expression}), y no se vio que volviera a la pérdida.",
            "fix": "usa tensores y operaciones de la biblioteca hasta llegar a la pérdida.",
            "code": "{keep}  # sin {expression}",
        },
    },
    "no_gradient.detached": {
        "en": {
            "cause": "{source} is cut off at {line}: {expression} has the numbers, but not the history.",
            "fix": "use the tensor itself where a gradient is wanted.",
            "code": "{keep}  # instead of {expression}",
        },
        "es": {
            "cause": "{source} queda separado en {line}: {expression} tiene los números, pero no la historia.",
            "fix": "usa el propio tensor donde quieras gradiente.",
            "code": "{keep}  # en lugar de {expression}",
        },
    },
    "no_gradient.no_grad": {
        "en": {
            "cause": "{expression} ({line}) ran under no_grad, where nothing is noted down for the backward pass.",
            "fix": "compute it outside of no_grad.",
            "code": "with torch.enable_grad():\n    {expression}",
        },
        "es": {
            "cause": "{expression} ({line}) se ejecutó bajo no_grad, donde no se anota nada para el pase hacia atrás.",
            "fix": "calcúlalo fuera de no_grad.",
            "code": "with torch.enable_grad():\n    {expression}",
        },
    },
    "no_gradient.discrete": {
        "en": {
            "cause": "{expression} ({line}): {op} gives whole numbers or yes and no, which change in jumps, so that there is no derivative.",
            "fix": "use a smooth operation for training.",
            "code": "torch.softmax(x, -1)  # instead of argmax; torch.sigmoid(k * (x - limit)) instead of x > limit",
        },
        "es": {
            "cause": "{expression} ({line}): {op} da números enteros, o sí y no, que cambian a saltos; por eso no hay derivada.",
            "fix": "usa una operación suave para entrenar.",
            "code": "torch.softmax(x, -1)  # en lugar de argmax; torch.sigmoid(k * (x - limite)) en lugar de x > limite",
        },
    },
    "no_gradient.number": {
        "en": {
            "cause": "The numbers of {source} come back at {line} without history, as by item(), numpy() or torch.tensor(): {expression}.",
            "fix": "keep the tensor.",
            "code": "{keep}  # the tensor itself, not its numbers",
        },
        "es": {
            "cause": "Los números de {source} vuelven en {line} sin historia, como por item(), numpy() o torch.tensor(): {expression}.",
            "fix": "conserva el tensor.",
            "code": "{keep}  # el propio tensor, no sus números",
        },
    },
    "no_gradient.flat": {
        "en": {
            "title": "Parameters whose gradient is always zero",
            "what": "Whatever came back through {expression} was exactly zero, and so is the gradient of {names}.",
            "cause": "{op} ({line}) is flat between its jumps: its derivative is 0.",
            "fix": "use a smooth operation for training; or let the gradient pass as if the operation were not there.",
            "code": "{inner} + ({expression} - {inner}).detach()  # instead of {expression}",
        },
        "es": {
            "title": "Parámetros cuyo gradiente es siempre cero",
            "what": "Todo lo que volvió a través de {expression} fue exactamente cero, y también lo es el gradiente de {names}.",
            "cause": "{op} ({line}) es plana entre sus saltos: su derivada es 0.",
            "fix": "usa una operación suave para entrenar; o deja pasar el gradiente como si la operación no estuviera.",
            "code": "{inner} + ({expression} - {inner}).detach()  # en lugar de {expression}",
        },
    },
    "no_gradient.computed": {
        "en": {
            "title": "The .grad of a result is None",
            "what": "{name}.grad is None ({asked}): {name} was computed, by {expression} ({line}).",
            "cause": "Only leaves keep their gradient: tensors that were made with requires_grad, and not computed from others that need gradients.",
            "fix": "say that it is to be kept; or, if {name} is to be trained, make it a leaf.",
            "code": "{name}.retain_grad()  # before backward()\n# to train it: {name} = ({expression}).detach().requires_grad_()",
        },
        "es": {
            "title": "El .grad de un resultado es None",
            "what": "{name}.grad es None ({asked}): {name} se calculó, con {expression} ({line}).",
            "cause": "Solo las hojas conservan su gradiente: los tensores creados con requires_grad y no calculados a partir de otros que necesitan gradiente.",
            "fix": "di que se conserve; o, si {name} se ha de entrenar, conviértelo en una hoja.",
            "code": "{name}.retain_grad()  # antes de backward()\n# para entrenarlo: {name} = ({expression}).detach().requires_grad_()",
        },
    },
    "no_gradient.replaced": {
        "en": {
            "title": "A parameter was replaced by a result",
            "what": "{name}.grad is None ({asked}): since {line}, {name} is the result of {expression}, and no longer the tensor that it was.",
            "cause": "An assignment gives the name to a new tensor. That one was computed, and only leaves keep their gradient.",
            "fix": "write into the tensor, under no_grad.",
            "code": "with torch.no_grad():\n    {code}",
        },
        "es": {
            "title": "Un parámetro fue sustituido por un resultado",
            "what": "{name}.grad es None ({asked}): desde {line}, {name} es el resultado de {expression}, y ya no el tensor que era.",
            "cause": "Una asignación da el nombre a un tensor nuevo. Ese se ha calculado, y solo las hojas conservan su gradiente.",
            "fix": "escribe en el propio tensor, bajo no_grad.",
            "code": "with torch.no_grad():\n    {code}",
        },
    },
    "no_gradient.unasked": {
        "en": {
            "title": "A tensor that asks for no gradient",
            "what": "{name}.grad is None ({asked}), though the loss was computed from {name}.",
            "cause": "Gradients come only to tensors that say so: {name} has requires_grad=False.",
            "fix": "say so before it is used.",
            "code": "{name}.requires_grad_()",
        },
        "es": {
            "title": "Un tensor que no pide gradiente",
            "what": "{name}.grad es None ({asked}), aunque la pérdida se calculó a partir de {name}.",
            "cause": "Los gradientes solo llegan a los tensores que los piden: {name} tiene requires_grad=False.",
            "fix": "pídelo antes de usarlo.",
            "code": "{name}.requires_grad_()",
        },
    },
    "not_finite": {
        "en": {"name": "nan or inf", "title": "Values that are not numbers (nan or inf)"},
        "es": {"name": "nan o inf", "title": "Valores que no son números (nan o inf)"},
    },
    "not_finite.input": {
        "en": {
            "what": "{name} has {nans} nan and {infinities} inf among {size} elements when it is first used.",
            "cause": "What is computed from a nan is nan, and an inf spreads likewise.",
            "fix": "clean the data, or look at what made them.",
            "code": "assert torch.isfinite({name}).all()",
        },
        "es": {
            "what": "{name} tiene {nans} nan y {infinities} inf entre {size} elementos cuando se usa por primera vez.",
            "cause": "Lo que se calcula con un nan es nan, y un inf se propaga igual.",
            "fix": "limpia los datos, o mira qué los produjo.",
            "code": "assert torch.isfinite({name}).all()",
        },
    },
    "not_finite.forward": {
        "en": {
            "what": "They began in {op}: its result {result} has {nans} nan and {infinities} inf among {size} elements, though its operands are finite: {operands}.",
            "cause": "The operation has no finite value there: the logarithm of 0, a division by 0, an exponential too large.",
            "fix": "keep the operand where the operation is finite.",
            "code": "x.clamp(min=1e-8)  # before log, sqrt or a division; for softmax with log: log_softmax",
        },
        "es": {
            "what": "Empezaron en {op}: su resultado {result} tiene {nans} nan y {infinities} inf entre {size} elementos, aunque sus operandos son finitos: {operands}.",
            "cause": "La operación no tiene ahí un valor finito: el logaritmo de 0, una división entre 0, una exponencial demasiado grande.",
            "fix": "mantén el operando donde la operación es finita.",
            "code": "x.clamp(min=1e-8)  # antes de log, sqrt o una división; para softmax con log: log_softmax",
        },
    },
    "not_finite.overflow": {
        "en": {
            "what": "They began in {op}: its result {result} has {nans} nan and {infinities} inf among {size} elements, though its operands are finite: {operands}.",
            "cause": "The operands are so large that the result goes beyond the largest number of {dtype}, {most}.",
            "fix": "find out what made them grow: a learning rate, initial weights, inputs that were not normalised. In float16 numbers end early: compute in float32.",
            "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # before the update",
        },
        "es": {
            "what": "Empezaron en {op}: su resultado {result} tiene {nans} nan y {infinities} inf entre {size} elementos, aunque sus operandos son finitos: {operands}.",
            "cause": "Los operandos son tan grandes que el resultado supera el mayor número de {dtype}, {most}.",
            "fix": "averigua qué los hizo crecer: una tasa de aprendizaje, unos pesos iniciales, unas entradas sin normalizar. En float16 los números se acaban pronto: calcula en float32.",
            "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # antes de la actualización",
        },
    },
    "not_finite.backward": {
        "en": {
            "what": "The forward pass is finite. They began in the backward pass of {op}, {result}: Jᵀv has {nans} nan and {infinities} inf among {size} elements. "
            "There {operands}, and v = {v}.",
            "cause": "The derivative has no finite value there: that of sqrt, or of a norm, at 0 for example.",
            "fix": "keep the operand away from that point.",
            "code": "torch.sqrt(x + 1e-8)",
        },
        "es": {
            "what": "El pase hacia adelante es finito. Empezaron en el pase hacia atrás de {op}, {result}: Jᵀv tiene {nans} nan y {infinities} inf entre {size} elementos. "
            "Ahí {operands}, y v = {v}.",
            "cause": "La derivada no tiene ahí un valor finito: la de sqrt, o la de una norma, en 0, por ejemplo.",
            "fix": "mantén el operando lejos de ese punto.",
            "code": "torch.sqrt(x + 1e-8)",
        },
    },
    "not_finite.update": {
        "en": {
            "what": "{name} and its gradient were finite, and the update (learning rate {rate}) made it nan or inf.",
            "cause": "The update is larger than the largest number of the dtype.",
            "fix": "a smaller learning rate, or clipped gradients.",
            "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        },
        "es": {
            "what": "{name} y su gradiente eran finitos, y la actualización (tasa de aprendizaje {rate}) lo convirtió en nan o inf.",
            "cause": "La actualización supera el mayor número del tipo de datos.",
            "fix": "una tasa de aprendizaje menor, o gradientes recortados.",
            "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        },
    },
    "where_nan": {
        "en": {
            "name": "nan through where",
            "title": "A branch that was not taken makes the gradient nan",
            "what": "In the backward pass of {op}, {result}, Jᵀv has {nans} nan and {infinities} inf among {size} elements. There {operands}, and v = {v}.",
            "cause": "{where} ({line}) sends v = 0 to the branch it did not take; {op} multiplies that by its derivative, which is inf or nan there, and 0 times that is nan.",
            "fix": "give the branch a harmless operand where it is not taken: one {choice}() inside, one outside.",
            "code": "safe = {safe}\n# then {op} of safe inside {where}",
        },
        "es": {
            "name": "nan a través de where",
            "title": "Una rama que no se tomó convierte el gradiente en nan",
            "what": "En el pase hacia atrás de {op}, {result}, Jᵀv tiene {nans} nan y {infinities} inf entre {size} elementos. Ahí {operands}, y v = {v}.",
            "cause": "{where} ({line}) envía v = 0 a la rama que no tomó; {op} lo multiplica por su derivada, que ahí es inf o nan, y 0 por eso da nan.",
            "fix": "da a la rama un operando inofensivo donde no se toma: un {choice}() dentro y otro fuera.",
            "code": "safe = {safe}\n# y después {op} de safe dentro de {where}",
        },
    },
    "failure": {
        "en": {"name": "crash", "title": "The program stopped", "what": "{kind} at {expression}: {message}"},
        "es": {"name": "interrupción", "title": "El programa se interrumpió", "what": "{kind} en {expression}: {message}"},
    },
    "failure.twice": {
        "en": {
            "title": "Backward twice through one graph",
            "cause": "The first backward pass ({first}) freed what the forward pass had kept for it.",
            "fix": "compute the loss anew; or keep the graph the first time.",
            "code": "{loss}.backward(retain_graph=True)",
        },
        "es": {
            "title": "Dos pases hacia atrás por el mismo grafo",
            "cause": "El primer pase hacia atrás ({first}) liberó lo que el pase hacia adelante le había guardado.",
            "fix": "calcula la pérdida de nuevo; o conserva el grafo la primera vez.",
            "code": "{loss}.backward(retain_graph=True)",
        },
    },
    "failure.carried": {
        "en": {
            "title": "The graph of an earlier step is walked again",
            "cause": "{name} was computed in an earlier step and brings its graph along, which that step's backward pass has freed.",
            "fix": "cut it off between steps.",
            "code": "{name} = {name}.detach()",
        },
        "es": {
            "title": "Se recorre otra vez el grafo de un paso anterior",
            "cause": "{name} se calculó en un paso anterior y trae consigo su grafo, que el pase hacia atrás de aquel paso ya liberó.",
            "fix": "sepáralo entre pasos.",
            "code": "{name} = {name}.detach()",
        },
    },
    "failure.inplace": {
        "en": {
            "title": "A write over numbers that the backward pass needs",
            "cause": "{writer} ({line}) overwrote what {op} had kept for its derivative.",
            "fix": "write to a new tensor.",
            "code": "x = x + 1  # instead of x += 1; or x = x.clone() before the write",
        },
        "es": {
            "title": "Una escritura sobre números que el pase hacia atrás necesita",
            "cause": "{writer} ({line}) escribió encima de lo que {op} había guardado para su derivada.",
            "fix": "escribe en un tensor nuevo.",
            "code": "x = x + 1  # en lugar de x += 1; o x = x.clone() antes de escribir",
        },
    },
    "failure.stepped": {
        "en": {
            "title": "The optimizer took its step between forward and backward",
            "cause": "{optimizer}.step() ({line}) wrote over weights that {op} had kept for its derivative.",
            "fix": "first all backward passes, then step().",
            "code": "{loss}.backward()\n{optimizer}.step()",
        },
        "es": {
            "title": "El optimizador dio su paso entre el pase hacia adelante y el pase hacia atrás",
            "cause": "{optimizer}.step() ({line}) escribió encima de pesos que {op} había guardado para su derivada.",
            "fix": "primero todos los pases hacia atrás, después step().",
            "code": "{loss}.backward()\n{optimizer}.step()",
        },
    },
    "failure.leaf": {
        "en": {
            "title": "A write over a parameter",
            "cause": "A leaf that needs a gradient must not be written to while operations are noted down.",
            "fix": "write under no_grad.",
            "code": "with torch.no_grad():\n    {expression}",
        },
        "es": {
            "title": "Una escritura sobre un parámetro",
            "cause": "No se puede escribir en una hoja que necesita gradiente mientras se anotan las operaciones.",
            "fix": "escribe bajo no_grad.",
            "code": "with torch.no_grad():\n    {expression}",
        },
    },
    "failure.scalar": {
        "en": {
            "title": "Backward from more than one number",
            "cause": "A gradient belongs to one number; from several, backward computes a vector-Jacobian product and needs v.",
            "fix": "reduce to one number.",
            "code": "{loss}.mean().backward()",
        },
        "es": {
            "title": "backward() desde más de un número",
            "cause": "El gradiente es de un solo número; desde varios, backward calcula un producto vector-jacobiano y necesita v.",
            "fix": "redúcelos a uno solo.",
            "code": "{loss}.mean().backward()",
        },
    },
    "failure.shape": {
        "en": {
            "title": "Shapes that do not fit",
            "cause": "{op} cannot put these shapes together.",
            "fix": "compare the shapes in the message with those you expect; a layer's first number is the size of its input's last dim (or channels).",
            "code": "print(x.shape)  # before {expression}",
        },
        "es": {
            "title": "Formas que no encajan",
            "cause": "{op} no puede combinar estas formas.",
            "fix": "compara las formas del mensaje con las que esperas; el primer número de una capa es el tamaño de la última dimensión (o los canales) de su entrada.",
            "code": "print(x.shape)  # antes de {expression}",
        },
    },
    "failure.dtype": {
        "en": {"title": "Element types that do not fit", "cause": "{op} needs other element types, or its arguments are in the wrong order.",
               "fix": "convert; for cross_entropy: logits first, whole numbers as targets second.", "code": "x.float()  # targets: y.long()"},
        "es": {"title": "Tipos de elementos que no encajan", "cause": "{op} necesita otros tipos, o sus argumentos están en otro orden.",
               "fix": "convierte; para cross_entropy: primero los logits, después los objetivos, enteros.", "code": "x.float()  # objetivos: y.long()"},
    },
    "failure.range": {
        "en": {"title": "An index out of range", "cause": "{op} was given an index that is not there: classes and tokens count from 0.",
               "fix": "compare the largest index with the size.", "code": "print(index.min(), index.max())"},
        "es": {"title": "Un índice fuera de rango", "cause": "{op} recibió un índice que no existe: las clases y los tokens se cuentan desde 0.",
               "fix": "compara el índice mayor con el tamaño.", "code": "print(index.min(), index.max())"},
    },
    "failure.other": {
        "en": {"cause": "What was recorded ends here (operation: {op}).", "fix": "see the message.", "code": ""},
        "es": {"cause": "Lo registrado termina aquí (operación: {op}).", "fix": "véase el mensaje.", "code": ""},
    },
    "failure.nothing": {
        "en": {"title": "A loss that depends on nothing trainable", "cause": "None of the tensors that led to it needs a gradient ({line}).",
               "fix": "ask for gradients.", "code": "w.requires_grad_(True)"},
        "es": {"title": "Una pérdida que no depende de nada entrenable", "cause": "Ninguno de los tensores que llevan a ella necesita gradiente ({line}).",
               "fix": "pide gradientes.", "code": "w.requires_grad_(True)"},
    },
    "failure.detached": {
        "en": {"title": "A loss cut off from its history", "cause": "{cut} ({line}) gives the numbers without their history.",
               "fix": "use the tensor itself.", "code": "{whole}  # instead of {cut}"},
        "es": {"title": "Una pérdida separada de su historia", "cause": "{cut} ({line}) da los números sin su historia.",
               "fix": "usa el propio tensor.", "code": "{whole}  # en lugar de {cut}"},
    },
    "failure.number": {
        "en": {"title": "A loss cut off from its history", "cause": "{loss} ({line}) was made from numbers, as by item() or torch.tensor(): it does not know where they came from.",
               "fix": "keep the tensor, and take the number out only to show it.", "code": "{loss}.backward()\nprint({loss}.item())"},
        "es": {"title": "Una pérdida separada de su historia", "cause": "{loss} ({line}) se hizo con números, como por item() o torch.tensor(): no sabe de dónde vienen.",
               "fix": "conserva el tensor, y saca el número solo para mostrarlo.", "code": "{loss}.backward()\nprint({loss}.item())"},
    },
    "failure.no_grad": {
        "en": {"title": "A training step inside no_grad", "cause": "{cut} ({line}) ran under no_grad, where nothing is noted down.",
               "fix": "compute the loss outside of no_grad.", "code": "with torch.enable_grad():\n    {cut}"},
        "es": {"title": "Un paso de entrenamiento dentro de no_grad", "cause": "{cut} ({line}) se ejecutó bajo no_grad, donde no se anota nada.",
               "fix": "calcula la pérdida fuera de no_grad.", "code": "with torch.enable_grad():\n    {cut}"},
    },
    "failure.discrete": {
        "en": {"title": "A loss without a derivative", "cause": "{cut} ({line}) gives whole numbers or yes and no, which have no derivative.",
               "fix": "use a smooth loss, such as cross_entropy.", "code": "loss = F.cross_entropy(logits, target)"},
        "es": {"title": "Una pérdida sin derivada", "cause": "{cut} ({line}) da números enteros, o sí y no, que no tienen derivada.",
               "fix": "usa una pérdida suave, como cross_entropy.", "code": "loss = F.cross_entropy(logits, target)"},
    },
    "failure.replaced": {
        "en": {"title": "A parameter was replaced by a new tensor", "cause": "{cut} ({line}) makes a new tensor, which needs no gradient, and {name} is now that one.",
               "fix": "write into the parameter, under no_grad.", "code": "with torch.no_grad():\n    {code}"},
        "es": {"title": "Un parámetro fue sustituido por un tensor nuevo", "cause": "{cut} ({line}) crea un tensor nuevo, que no necesita gradiente, y ahora {name} es ese.",
               "fix": "escribe en el propio parámetro, bajo no_grad.", "code": "with torch.no_grad():\n    {code}"},
    },
    "failure.optimizer": {
        "en": {"title": "An optimizer was given a result", "cause": "{name} was computed, by {made} ({line}). An optimizer updates leaves: tensors that were not computed from others that need gradients.",
               "fix": "make it a leaf.", "code": "{name} = ({made}).detach().requires_grad_()"},
        "es": {"title": "Un optimizador recibió un resultado", "cause": "{name} se calculó, con {made} ({line}). Un optimizador actualiza hojas: tensores que no se calcularon a partir de otros que necesitan gradiente.",
               "fix": "conviértelo en una hoja.", "code": "{name} = ({made}).detach().requires_grad_()"},
    },
    "failure.none": {
        "en": {"title": "A gradient that is not there", "cause": "{asked} is None: the backward pass brought nothing to {name}.",
               "fix": "see why no gradient came to it.", "code": "print({name}.is_leaf, {name}.requires_grad)  # both have to be True"},
        "es": {"title": "Un gradiente que no está", "cause": "{asked} es None: el pase hacia atrás no llevó nada a {name}.",
               "fix": "mira por qué no le llegó ningún gradiente.", "code": "print({name}.is_leaf, {name}.requires_grad)  # los dos tienen que ser True"},
    },
    "failure.early": {
        "en": {"title": "A gradient before the backward pass", "cause": "{asked} is None: no backward pass has run yet.",
               "fix": "first backward(), then use the gradient.", "code": "loss.backward()"},
        "es": {"title": "Un gradiente antes del pase hacia atrás", "cause": "{asked} es None: todavía no se ha ejecutado ningún pase hacia atrás.",
               "fix": "primero backward(), después usa el gradiente.", "code": "loss.backward()"},
    },
    "failure.cleared": {
        "en": {"title": "A gradient that was cleared", "cause": "{asked} is None: {clearing} ({line}) cleared it, and nothing has come since.",
               "fix": "use the gradient before it is cleared.", "code": "loss.backward()\n# here the gradients are used\n{clearing}"},
        "es": {"title": "Un gradiente ya borrado", "cause": "{asked} es None: {clearing} ({line}) lo borró, y desde entonces no ha llegado nada.",
               "fix": "usa el gradiente antes de borrarlo.", "code": "loss.backward()\n# aquí se usan los gradientes\n{clearing}"},
    },
}  # fmt: skip
