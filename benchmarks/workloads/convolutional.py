"""Convolutional nets: LeNet on images of 28 x 28 with Adam, and two residual blocks on images of 32 x 32 with BatchNorm and momentum.

In JAX images are laid out channels last, which XLA's CPU convolutions are fastest with; weights and images are moved there before timing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads.jax_pieces import cross_entropy, normalised
from benchmarks.workloads.optimizers import jax_arrays, jax_momentum, jax_training, torch_tensors, torch_training
from benchmarks.workloads.workload import Data, Functional, Goal, Training, Workload
from retrograd.cli.workloads import Numbers, Step, layer, loaded, norm, normal


def channels_last(parameters: Numbers) -> Numbers:
    """Weights of convolutions from (out, in, height, width) to JAX's (height, width, in, out)."""
    return {name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array for name, array in parameters.items()}


def convolved(jax: Any, x: Any, weight: Any) -> Any:
    """The convolution that keeps the size of images."""
    return jax.lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def classify(lib: Any, net: Any, optimizer: Any) -> Step:
    """The ordinary training step of a classifier."""

    def step(images: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


# ---------------------------------------------------------------- LeNet

LENET_RATE = 1e-4


def lenet_numbers() -> tuple[Numbers, Data]:
    """Parameters, images (32, 1, 28, 28) and labels."""
    rng = np.random.default_rng(0)
    parameters = layer(rng, "0", 16, 1, 5, 5) | layer(rng, "3", 32, 16, 5, 5) | layer(rng, "7", 128, 32 * 7 * 7) | layer(rng, "9", 10, 128)
    return parameters, (normal(rng, 32, 1, 28, 28), rng.integers(10, size=32))


def lenet_module(lib: Any) -> Any:
    """The network."""
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def lenet(lib: Any, parameters: Numbers) -> Step:
    """For PyTorch's API."""
    net = loaded(lib, lenet_module(lib), parameters)
    return classify(lib, net, lib.optim.Adam(net.parameters(), lr=LENET_RATE))


def lenet_in_torch(torch: Any, parameters: Numbers) -> Functional:
    """For torch.compile: the module, called as a function of its parameters."""
    net = lenet_module(torch)

    def loss_of(p: Any, images: Any, labels: Any) -> Any:
        return torch.nn.functional.cross_entropy(torch.func.functional_call(net, p, (images,)), labels)

    return torch_training(torch, loss_of, torch_tensors(torch, parameters), "adam", rate=LENET_RATE)


def lenet_in_jax(jax: Any, parameters: Numbers) -> Functional:
    """For JAX."""

    def pooled(x: Any) -> Any:
        batch, height, width, channels = x.shape
        return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))

    def loss_of(p: Any, images: Any, labels: Any) -> Any:
        x = images.reshape(-1, 28, 28, 1)
        x = pooled(jax.nn.relu(convolved(jax, x, p["0.weight"]) + p["0.bias"]))
        x = pooled(jax.nn.relu(convolved(jax, x, p["3.weight"]) + p["3.bias"]))
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # the order in which the linear layer's weights are
        x = jax.nn.relu(x @ p["7.weight"].T + p["7.bias"])
        return cross_entropy(jax, x @ p["9.weight"].T + p["9.bias"], labels)

    return jax_training(jax, loss_of, jax_arrays(jax, channels_last(parameters)), "adam", rate=LENET_RATE)


# ---------------------------------------------------------------- residual blocks

WIDTH, SIDE, BATCH, BLOCKS, RATE, MOMENTUM = 64, 32, 8, 2, 1e-3, 0.9
UPDATED = 0.1  # how much of a batch's statistics goes into the running ones


def residual_numbers() -> tuple[Numbers, Data]:
    """Parameters, images (8, 3, 32, 32) and labels."""
    rng = np.random.default_rng(0)
    parameters = layer(rng, "stem", WIDTH, 3, 3, 3, bias=False) | norm("stem_norm", WIDTH)
    for i in range(BLOCKS):
        for j in (1, 2):
            parameters |= layer(rng, f"blocks.{i}.conv{j}", WIDTH, WIDTH, 3, 3, bias=False) | norm(f"blocks.{i}.norm{j}", WIDTH)
    parameters |= layer(rng, "head", 10, WIDTH)
    return parameters, (normal(rng, BATCH, 3, SIDE, SIDE), rng.integers(10, size=BATCH))


def residual_module(lib: Any) -> Any:
    """A stem, the blocks, the mean over each image, and a linear layer."""
    nn = lib.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False) for _ in range(2))
            self.norm1, self.norm2 = (nn.BatchNorm2d(WIDTH) for _ in range(2))

        def forward(self, x: Any) -> Any:
            inner = self.norm1(self.conv1(x)).relu()
            return (x + self.norm2(self.conv2(inner))).relu()

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.stem_norm = nn.Conv2d(3, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH)
            self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
            self.head = nn.Linear(WIDTH, 10)

        def forward(self, images: Any) -> Any:
            x = self.blocks(self.stem_norm(self.stem(images)).relu())
            return self.head(x.mean((2, 3)))

    return Net()


def residual(lib: Any, parameters: Numbers) -> Step:
    """For PyTorch's API."""
    net = loaded(lib, residual_module(lib), parameters)
    return classify(lib, net, lib.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM))


def residual_in_torch(torch: Any, parameters: Numbers) -> Functional:
    """For torch.compile: the module, called as a function of its parameters; its running statistics are updated in place."""
    net = residual_module(torch)

    def loss_of(p: Any, images: Any, labels: Any) -> Any:
        return torch.nn.functional.cross_entropy(torch.func.functional_call(net, p, (images,)), labels)

    return torch_training(torch, loss_of, torch_tensors(torch, parameters), "momentum", rate=RATE, momentum=MOMENTUM)


def residual_in_jax(jax: Any, parameters: Numbers) -> Functional:
    """For JAX. The running statistics are updated in the step, as by PyTorch's modules."""
    jnp = jax.numpy

    def norm_of(p: Any, seen: dict[str, Any], name: str, x: Any) -> Any:
        x, *seen[name] = normalised(jax, x, (0, 1, 2), p[f"{name}.weight"], p[f"{name}.bias"])
        return x

    def loss_of(p: Any, images: Any, labels: Any) -> Any:
        seen: dict[str, Any] = {}
        x = jax.nn.relu(norm_of(p, seen, "stem_norm", convolved(jax, images.transpose(0, 2, 3, 1), p["stem.weight"])))
        for i in range(BLOCKS):
            block = f"blocks.{i}"
            inner = jax.nn.relu(norm_of(p, seen, f"{block}.norm1", convolved(jax, x, p[f"{block}.conv1.weight"])))
            x = jax.nn.relu(x + norm_of(p, seen, f"{block}.norm2", convolved(jax, inner, p[f"{block}.conv2.weight"])))
        return cross_entropy(jax, x.mean((1, 2)) @ p["head.weight"].T + p["head.bias"], labels), seen

    def step(state: Any, images: Any, labels: Any) -> Any:
        trained, running = state
        (loss, seen), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained[0], images, labels)
        running = jax.tree.map(lambda old, new: (1 - UPDATED) * old + UPDATED * new.ravel(), running, seen)
        return (jax_momentum(jax, trained, gradients, rate=RATE, momentum=MOMENTUM), running), loss

    weights = jax_arrays(jax, channels_last(parameters))
    norms = [name.removesuffix(".weight") for name in parameters if "norm" in name and name.endswith(".weight")]
    running = {name: [jnp.zeros(WIDTH), jnp.ones(WIDTH)] for name in norms}
    return Training(step, ((weights, [jax.tree.map(jnp.zeros_like, weights)], jnp.zeros(())), running))


LENET = Workload(
    key="lenet",
    title="LeNet (16 and 32 channels of 5x5, pool, 128, 10), batch 32, Adam",
    goal=Goal(3.2, 2),
    numbers=lenet_numbers,
    program=lenet,
    in_torch=lenet_in_torch,
    in_jax=lenet_in_jax,
)
RESIDUAL = Workload(
    key="residual",
    title="two residual blocks, 64 channels, 32x32, BatchNorm, batch 8, SGD momentum",
    goal=Goal(1.35, 1.35),
    numbers=residual_numbers,
    program=residual,
    in_torch=residual_in_torch,
    in_jax=residual_in_jax,
)
