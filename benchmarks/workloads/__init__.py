"""The rows of `python -m benchmarks compile`, in the order of its table."""

from benchmarks.workloads import convolutional, gpt, lstm, mlp, note, pinn, pointwise, transforms
from benchmarks.workloads.workload import Workload

WORKLOADS: dict[str, Workload] = {
    workload.key: workload
    for workload in (
        pointwise.CHAIN,
        *note.WORKLOADS,
        mlp.MLP,
        convolutional.LENET,
        convolutional.RESIDUAL,
        gpt.LARGE,
        gpt.SMALL,
        lstm.LSTM,
        pinn.PINN,
        pointwise.LARGE,
        pointwise.SMALL,
        transforms.JACOBIAN,
        transforms.SAMPLES,
    )
}
