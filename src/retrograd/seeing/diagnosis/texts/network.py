"""Texts about what goes on inside a network."""

from __future__ import annotations

TEXTS: dict[str, dict[str, dict[str, str]]] = {
    "dead_units": {
        "en": {"name": "dead units", "title": "Dead ReLU units", "what": "{module}: {dead} of {units} units are zero for all {examples} examples (units {which}); their largest input is {most}.",
               "cause": "Where ReLU gives zero its derivative is zero too, so that what lies before a dead unit gets no gradient and cannot bring it back.",
               "fix": "a smaller learning rate, other initial biases, or an activation with a slope everywhere.", "code": "nn.LeakyReLU(0.01)  # instead of nn.ReLU()"},
        "es": {"name": "unidades muertas", "title": "Unidades ReLU muertas", "what": "{module}: {dead} de {units} unidades son cero en los {examples} ejemplos (unidades {which}); su mayor entrada es {most}.",
               "cause": "Donde ReLU da cero, su derivada también es cero: lo que hay antes de una unidad muerta no recibe gradiente y no puede revivirla.",
               "fix": "una tasa de aprendizaje menor, otros sesgos iniciales, o una activación con pendiente en todas partes.", "code": "nn.LeakyReLU(0.01)  # en lugar de nn.ReLU()"},
    },
    "saturated": {
        "en": {"name": "saturation", "title": "A saturated activation", "what": "{module}: {share} % of the outputs of {op} are at their limits, and {through} % of the gradient gets through.",
               "cause": "At its limits the function is flat: whatever comes back is multiplied by a slope next to zero.",
               "fix": "bring its inputs nearer to zero: normalise, smaller initial weights, or scale scores by 1/sqrt(d).", "code": "x = nn.functional.layer_norm(x, x.shape[-1:])  # before {op}"},
        "es": {"name": "saturación", "title": "Una activación saturada", "what": "{module}: el {share} % de las salidas de {op} están en sus límites, y pasa el {through} % del gradiente.",
               "cause": "En sus límites la función es plana: lo que llega de vuelta se multiplica por una pendiente casi nula.",
               "fix": "acerca sus entradas a cero: normaliza, usa pesos iniciales menores, o escala por 1/sqrt(d).", "code": "x = nn.functional.layer_norm(x, x.shape[-1:])  # antes de {op}"},
    },
    "vanishing": {
        "en": {"name": "vanishing gradients", "title": "Gradients vanish towards the input", "what": "Norm of the gradient with respect to a layer's output: {last} at the layer of {far}, {first} at that of {near}: {ratio} times smaller, over {layers} layers.",
               "cause": "The vector-Jacobian product of each layer shrinks the gradient by a like factor, so that the first layers hardly learn.",
               "fix": "ReLU instead of sigmoid, normalisation, residual connections, or larger initial weights.", "code": "x = x + block(x)"},
        "es": {"name": "gradientes que se desvanecen", "title": "Los gradientes se desvanecen hacia la entrada", "what": "Norma del gradiente respecto a la salida de la capa: {last} en la capa de {far}, {first} en la de {near}: {ratio} veces menor, a lo largo de {layers} capas.",
               "cause": "El producto vector-jacobiano de cada capa encoge el gradiente por un factor parecido, así que las primeras capas apenas aprenden.",
               "fix": "ReLU en lugar de sigmoide, normalización, conexiones residuales, o pesos iniciales mayores.", "code": "x = x + block(x)"},
    },
    "exploding": {
        "en": {"name": "exploding gradients", "title": "Gradients explode towards the input", "what": "Norm of the gradient with respect to a layer's output: {last} at the layer of {far}, {first} at that of {near}: {ratio} times larger, over {layers} layers.",
               "cause": "The vector-Jacobian product of each layer makes the gradient larger by a like factor.",
               "fix": "smaller initial weights, normalisation, or clipped gradients.", "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"},
        "es": {"name": "gradientes que explotan", "title": "Los gradientes explotan hacia la entrada", "what": "Norma del gradiente respecto a la salida de la capa: {last} en la capa de {far}, {first} en la de {near}: {ratio} veces mayor, a lo largo de {layers} capas.",
               "cause": "El producto vector-jacobiano de cada capa agranda el gradiente por un factor parecido.",
               "fix": "pesos iniciales menores, normalización, o gradientes recortados.", "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"},
    },
    "vanishing.time": {
        "en": {"title": "Gradients vanish towards the beginning of the sequence", "what": "{name} was used {layers} times in a row. Norm of the gradient with respect to its output: {last} at the last use, {first} at the first: {ratio} times smaller.",
               "cause": "The vector-Jacobian product of each step in time shrinks the gradient by a like factor: what stands early in a sequence hardly changes the weights.",
               "fix": "an LSTM or a GRU, attention, shorter sequences, or a loss at more than the last step.", "code": "net = nn.LSTM(inputs, units)  # instead of nn.RNN"},
        "es": {"title": "Los gradientes se desvanecen hacia el principio de la secuencia", "what": "{name} se usó {layers} veces seguidas. Norma del gradiente respecto a su salida: {last} en el último uso, {first} en el primero: {ratio} veces menor.",
               "cause": "El producto vector-jacobiano de cada paso en el tiempo encoge el gradiente por un factor parecido: lo que está al principio de la secuencia apenas cambia los pesos.",
               "fix": "una LSTM o una GRU, atención, secuencias más cortas, o una pérdida en más pasos que el último.", "code": "net = nn.LSTM(inputs, units)  # en lugar de nn.RNN"},
    },
    "exploding.time": {
        "en": {"title": "Gradients explode towards the beginning of the sequence", "what": "{name} was used {layers} times in a row. Norm of the gradient with respect to its output: {last} at the last use, {first} at the first: {ratio} times larger.",
               "cause": "The vector-Jacobian product of each step in time makes the gradient larger by a like factor.",
               "fix": "clipped gradients, smaller or orthogonal recurrent weights, or shorter sequences.", "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"},
        "es": {"title": "Los gradientes explotan hacia el principio de la secuencia", "what": "{name} se usó {layers} veces seguidas. Norma del gradiente respecto a su salida: {last} en el último uso, {first} en el primero: {ratio} veces mayor.",
               "cause": "El producto vector-jacobiano de cada paso en el tiempo agranda el gradiente por un factor parecido.",
               "fix": "gradientes recortados, pesos recurrentes menores u ortogonales, o secuencias más cortas.", "code": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"},
    },
    "mode": {"en": {"name": "train and eval mode", "title": "The wrong mode", "what": "what depends on the mode: {modules}."},
             "es": {"name": "modo train o eval", "title": "El modo equivocado", "what": "lo que depende del modo: {modules}."}},
    "mode.eval": {
        "en": {"title": "Training in eval mode", "what": "{name} was in eval mode whenever it was trained (calls: {steps}); what depends on the mode: {modules}.",
               "cause": "In eval mode dropout does nothing, and batch normalisation uses old statistics and takes no new ones.", "fix": "switch back after each evaluation.", "code": "{name}.train()"},
        "es": {"title": "Entrenamiento en modo eval", "what": "{name} estaba en modo eval siempre que se entrenaba (llamadas: {steps}); lo que depende del modo: {modules}.",
               "cause": "En modo eval el dropout no hace nada, y la normalización por lotes usa estadísticas viejas y no toma nuevas.", "fix": "vuelve al modo de entrenamiento tras cada evaluación.", "code": "{name}.train()"},
    },
    "mode.train": {
        "en": {"title": "Evaluation in training mode", "what": "{name} ran under no_grad in training mode; what depends on the mode: {modules}.",
               "cause": "Dropout goes on dropping, and batch normalisation learns statistics from the test data: results are worse, and differ from run to run.",
               "fix": "switch for the evaluation.", "code": "{name}.eval()\nwith torch.no_grad():\n    ...\n{name}.train()"},
        "es": {"title": "Evaluación en modo de entrenamiento", "what": "{name} se ejecutó bajo no_grad en modo de entrenamiento; lo que depende del modo: {modules}.",
               "cause": "El dropout sigue descartando, y la normalización por lotes aprende estadísticas de los datos de prueba: los resultados son peores y cambian de una vez a otra.",
               "fix": "cambia de modo para evaluar.", "code": "{name}.eval()\nwith torch.no_grad():\n    ...\n{name}.train()"},
    },
    "symmetric_weights": {
        "en": {"name": "symmetric weights", "title": "Units that are copies of each other", "what": "All {rows} rows of {name} are the same (the first number is {value}), and so are the rows of its gradient (norm {norm}).",
               "cause": "Equal weights with equal gradients stay equal: the layer counts as one unit.", "fix": "start from random weights.", "code": "nn.init.kaiming_uniform_(weight)  # {name}"},
        "es": {"name": "pesos simétricos", "title": "Unidades que son copias unas de otras", "what": "Las {rows} filas de {name} son iguales (el primer número es {value}), y también las de su gradiente (norma {norm}).",
               "cause": "Pesos iguales con gradientes iguales siguen siendo iguales: la capa equivale a una sola unidad.", "fix": "empieza con pesos aleatorios.", "code": "nn.init.kaiming_uniform_(weight)  # {name}"},
    },
    "input_scale": {
        "en": {"name": "inputs not normalised", "title": "Inputs are large", "what": "{name} goes into {module} with numbers from {least} to {most} (mean {mean}, standard deviation {std}).",
               "cause": "Layers are initialised for inputs of about 1. Large ones make large gradients and saturate what follows.", "fix": "normalise.", "code": "{variable} = ({variable} - {mean}) / {std}"},
        "es": {"name": "entradas sin normalizar", "title": "Las entradas son grandes", "what": "{name} entra en {module} con números de {least} a {most} (media {mean}, desviación típica {std}).",
               "cause": "Las capas se inicializan para entradas de tamaño 1 más o menos. Las grandes producen gradientes grandes y saturan lo que sigue.", "fix": "normaliza.", "code": "{variable} = ({variable} - {mean}) / {std}"},
    },
}  # fmt: skip
