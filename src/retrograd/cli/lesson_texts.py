"""What the lesson says, in English and Spanish. Braces are filled with the numbers of the run (see `lesson.py`)."""

from __future__ import annotations

from typing import Any

STEPS: dict[str, dict[str, Any]] = {
    "en": {
        "title": "Backpropagation, step by step, with real numbers (seed {seed})",
        "pause": "[Enter] to go on",
        "exact": "to the last bit",
        "rounded": "but for rounding, up to {deviation} of the largest entry",
        "headings": {
            "network": "A network, an input, and what it ought to answer",
            "before": "Before anything is learned",
            "loss": "Forward: a prediction, and how far off it is",
            "backward": "Backward: what each weight has to do with the loss",
            "step": "One step of the optimizer",
            "accumulate": "Gradients accumulate",
            "zero_grad": "zero_grad",
            "gradient": "The gradient of the last function: v",
            "jacobian": "The Jacobian of each layer",
            "chain": "J1ᵀ J2ᵀ J3ᵀ J4ᵀ v",
            "weights": "From there to the weights",
        },
        "network": (
            "Three layers: 784 numbers go in, 256 are computed from them, and 10 from these. Input and ideal output are random here; "
            "what matters is how the network changes.",
            "Nobody wrote requires_grad=True for the layers: a Module takes it that its parameters are to be trained, and for all of "
            "them it is {needed}. There are {weights} of them, {w1} in the matrix of the first layer and {w2} in that of the last.",
        ),
        "before": (
            "Ten weights of the last layer, and their gradient.",
            "The weights were drawn between ±1/√256 = ±{bound} (the largest of them is {largest}). The gradient is None: no gradient "
            "is computed until it is asked for.",
        ),
        "loss": (
            "The loss is the sum of the squared differences between what is ideal and what is predicted.",
            "{count} differences, each squared: the first is {first}, its square {first2}; the mean is {mean}, the sum {loss}.\n\n"
            "While it computed, the library took down what came from what. Read backwards from the loss:\n\n"
            "    {path}",
        ),
        "backward": (
            "Still no gradient: it must be asked for. `loss.backward()` walks what was taken down from the loss back to the weights.",
            "The weights are what they were; now each has a gradient. The first weight is {w} and its gradient {g}: raise the weight "
            "a little, and the loss grows {g} times as much. Tried out: with the weight {h} higher and {h} lower, the loss changes by "
            "{slope} times the difference.",
        ),
        "step": (
            "The gradients are there, and nothing was learned yet: that is what `optimizer.step()` is for.",
            "Each weight went a little way against its gradient: {w_old} - {lr} · {g} = {w_new}. The gradients are as before. With "
            "the new weights the loss is {loss_new}; it was {loss_old}.",
        ),
        "accumulate": (
            "A detail not to be missed: each backward() adds to the gradients that are there.",
            "The first entry was {first_g}; five passes with one and the same network each brought {each}: "
            "{first_g} + 5 · {each} = {total}.",
        ),
        "zero_grad": (
            "So after each step the gradients are cleared.",
            "All {zeros} entries read as zero, and the next backward() begins afresh. (PyTorch since version 2 says None here, and "
            "the note's last line would be an error. To optimizers a cleared gradient counts as None here too.)",
        ),
        "chain": [
            (
                "gradient",
                "The loss l = g(y) takes {m} numbers y, the differences of one example, to one number. Its gradient says how l changes "
                "with each. With l = Σ y², it is v = 2 y. For the first example l = {loss}; its first difference is {d}, so "
                "the first entry of v is {v0}.\n\n    v = ({v}, ...)      {m} numbers",
            ),
            (
                "jacobian",
                "A layer takes many numbers to many: how each output depends on each input is a matrix, its Jacobian. For this network "
                "and this example they are:\n\n"
                "    J1 = W1          256 x 784   the first layer is linear: its Jacobian is its weights\n"
                "    J2 = diag(0, 1)  256 x 256   ReLU: 1 for the {active} units of {n} above zero, 0 for the other {dead}\n"
                "    J3 = W2           10 x 256   the last layer's weights\n"
                "    J4 = -1           10 x 10    y = ideal - prediction\n\n"
                "The library, asked for the Jacobian of each layer alone (func.jacrev), gives the same: {agreement}.",
            ),
            (
                "chain",
                "The gradient of l with respect to the input is the product of all of them, transposed, with v. Multiplied from the "
                "right, there is never more to hold than one vector:\n\n"
                "    v                          10 numbers   length {n0}\n"
                "    J4ᵀ v                      10 numbers   length {n1}\n"
                "    J3ᵀ J4ᵀ v                 256 numbers   length {n2}\n"
                "    J2ᵀ J3ᵀ J4ᵀ v             256 numbers   length {n3}   (only {active} of them not zero)\n"
                "    J1ᵀ J2ᵀ J3ᵀ J4ᵀ v         784 numbers   length {n4}\n\n"
                "    by this product:   ({product}, ...)\n"
                "    by backward():     ({backward}, ...)\n\n"
                "The two agree: {agreement}. backward() never formed these "
                "matrices of {stored} numbers together: each operation knows how to multiply its transposed Jacobian with a vector, and that "
                "is all that automatic differentiation in reverse needs.",
            ),
            (
                "weights",
                "What arrives at a layer tells the gradient of its weights too: the vector that arrived, times the layer's input, "
                "added up over the 16 examples. For W2 that is (J4ᵀ v) times the hidden numbers, for W1 (J2ᵀ J3ᵀ J4ᵀ v) times the "
                "input. It is what backward() leaves in .grad of either: {agreement}.",
            ),
        ],
    },
    "es": {
        "title": "La retropropagación, paso a paso, con números de verdad (semilla {seed})",
        "pause": "[Intro] para seguir",
        "exact": "hasta el último bit",
        "rounded": "salvo redondeo, de hasta {deviation} de la entrada mayor",
        "headings": {
            "network": "Una red, una entrada y lo que debería responder",
            "before": "Antes de aprender nada",
            "loss": "Hacia adelante: una predicción, y cuánto se equivoca",
            "backward": "Hacia atrás: qué tiene que ver cada peso con la pérdida",
            "step": "Un paso del optimizador",
            "accumulate": "Los gradientes se acumulan",
            "zero_grad": "zero_grad",
            "gradient": "El gradiente de la última función: v",
            "jacobian": "El jacobiano de cada capa",
            "chain": "J1ᵀ J2ᵀ J3ᵀ J4ᵀ v",
            "weights": "Y de ahí a los pesos",
        },
        "network": (
            "Tres capas: entran 784 números, de ellos se calculan 256, y de estos 10. La entrada y la salida ideal son aquí aleatorias; "
            "lo que importa es cómo cambia la red.",
            "Nadie escribió requires_grad=True en las capas: un Module da por hecho que sus parámetros se van a entrenar, y en todos "
            "ellos vale {needed}. Son {weights}: {w1} en la matriz de la primera capa y {w2} en la de la última.",
        ),
        "before": (
            "Diez pesos de la última capa, y su gradiente.",
            "Los pesos se sortearon entre ±1/√256 = ±{bound} (el mayor es {largest}). El gradiente es None: no se calcula ningún "
            "gradiente hasta que se pide.",
        ),
        "loss": (
            "La pérdida es la suma de los cuadrados de las diferencias entre lo ideal y lo predicho.",
            "{count} diferencias, cada una al cuadrado: la primera es {first}, su cuadrado {first2}; la media es {mean}, la suma {loss}.\n\n"
            "Mientras calculaba, la biblioteca fue anotando qué salía de qué. Leído hacia atrás desde la pérdida:\n\n"
            "    {path}",
        ),
        "backward": (
            "Sigue sin haber gradiente: hay que pedirlo. `loss.backward()` recorre lo anotado desde la pérdida hasta los pesos.",
            "Los pesos son los que eran; ahora cada uno tiene un gradiente. El primer peso es {w} y su gradiente {g}: si el peso sube "
            "un poco, la pérdida crece {g} veces eso. Comprobado: con el peso {h} más arriba y {h} más abajo, la pérdida cambia "
            "{slope} veces la diferencia.",
        ),
        "step": (
            "Los gradientes están, pero todavía no se ha aprendido nada: para eso es `optimizer.step()`.",
            "Cada peso dio un pequeño paso en contra de su gradiente: {w_old} - {lr} · {g} = {w_new}. Los gradientes siguen igual. Con "
            "los pesos nuevos la pérdida es {loss_new}; era {loss_old}.",
        ),
        "accumulate": (
            "Un detalle que no debemos ignorar: cada backward() suma a los gradientes que ya hay.",
            "La primera entrada era {first_g}; cinco pases con una misma red aportaron {each} cada uno: {first_g} + 5 · {each} = {total}.",
        ),
        "zero_grad": (
            "Por eso, después de cada paso, los gradientes se borran.",
            "Las {zeros} entradas se leen como cero, y el siguiente backward() empieza de nuevo. (PyTorch, desde la versión 2, dice "
            "aquí None, y la última línea de la nota sería un error. Para los optimizadores, también aquí un gradiente borrado cuenta "
            "como None.)",
        ),
        "chain": [
            (
                "gradient",
                "La pérdida l = g(y) lleva {m} números y, las diferencias de un ejemplo, a un solo número. Su gradiente dice cómo cambia l "
                "con cada uno. Como l = Σ y², es v = 2 y. En el primer ejemplo l = {loss}; su primera diferencia es {d}, así que "
                "la primera entrada de v es {v0}.\n\n    v = ({v}, ...)      {m} números",
            ),
            (
                "jacobian",
                "Una capa lleva muchos números a muchos: cómo depende cada salida de cada entrada es una matriz, su jacobiano. En esta red "
                "y con este ejemplo son:\n\n"
                "    J1 = W1          256 x 784   la primera capa es lineal: su jacobiano son sus pesos\n"
                "    J2 = diag(0, 1)  256 x 256   ReLU: 1 en las {active} unidades de {n} que pasan de cero, 0 en las otras {dead}\n"
                "    J3 = W2           10 x 256   los pesos de la última capa\n"
                "    J4 = -1           10 x 10    y = ideal - predicción\n\n"
                "La biblioteca, si se le pide el jacobiano de cada capa por separado (func.jacrev), da lo mismo: {agreement}.",
            ),
            (
                "chain",
                "El gradiente de l respecto de la entrada es el producto de todos ellos, traspuestos, por v. Multiplicando desde la "
                "derecha, nunca hay que guardar más que un vector:\n\n"
                "    v                          10 números   longitud {n0}\n"
                "    J4ᵀ v                      10 números   longitud {n1}\n"
                "    J3ᵀ J4ᵀ v                 256 números   longitud {n2}\n"
                "    J2ᵀ J3ᵀ J4ᵀ v             256 números   longitud {n3}   (solo {active} no son cero)\n"
                "    J1ᵀ J2ᵀ J3ᵀ J4ᵀ v         784 números   longitud {n4}\n\n"
                "    con este producto: ({product}, ...)\n"
                "    con backward():    ({backward}, ...)\n\n"
                "Los dos coinciden: {agreement}. backward() nunca formó estas "
                "matrices, que juntas son {stored} números: cada operación sabe multiplicar su jacobiano traspuesto por un vector, y eso "
                "es todo lo que necesita la diferenciación automática hacia atrás.",
            ),
            (
                "weights",
                "Lo que llega a una capa da también el gradiente de sus pesos: el vector que llegó, por la entrada de la capa, "
                "sumado sobre los 16 ejemplos. Para W2 es (J4ᵀ v) por los números de la capa oculta; para W1, (J2ᵀ J3ᵀ J4ᵀ v) por la "
                "entrada. Es lo que backward() deja en el .grad de cada una: {agreement}.",
            ),
        ],
    },
}
