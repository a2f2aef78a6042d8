"""Samples of losses."""

from tests.sampling import B, Error, I, Sample, T

X, Y = T(3, 4), T(3, 4)
UNIT, TARGET = T(3, 4, low=0.1, high=0.9), T(3, 4, low=0.1, high=0.9)
CLASSES = I(3, high=4)
REDUCED = ("mean", "sum", "none")


def each_reduction(*args, **kwargs):
    """The call with every reduction."""
    return [Sample(*args, **kwargs, reduction=r) for r in REDUCED]


SAMPLES = {
    "nn.functional.mse_loss": [*each_reduction(X, Y), Sample(T(3), T(3))],
    "nn.functional.l1_loss": each_reduction(X, Y),
    "nn.functional.smooth_l1_loss": [*each_reduction(X, Y), Sample(X, Y, beta=0.5)],
    "nn.functional.huber_loss": [*each_reduction(X, Y), Sample(X, Y, delta=0.5)],
    "nn.functional.binary_cross_entropy": [*each_reduction(UNIT, TARGET), Sample(UNIT, TARGET, T(4, low=0.1, high=1, grad=False))],
    "nn.functional.binary_cross_entropy_with_logits": [
        *each_reduction(X, TARGET),
        Sample(X, TARGET, pos_weight=T(4, low=0.5, high=2, grad=False)),
    ],
    "nn.functional.soft_margin_loss": each_reduction(X, T(3, 4, grad=False)),
    "nn.functional.nll_loss": [
        *each_reduction(X, CLASSES),
        Sample(X, CLASSES, T(4, low=0.5, high=2, grad=False)),
        Sample(X, CLASSES, ignore_index=1),
        Sample(T(2, 3, 4), I(2, 4, high=3)),
        Sample(T(4), I(high=4)),
    ],
    "nn.functional.cross_entropy": [
        *each_reduction(X, CLASSES),
        Sample(X, CLASSES, label_smoothing=0.1),
        Sample(X, TARGET),
        Sample(T(2, 3, 4), I(2, 4, high=3)),
        Sample(X, CLASSES, T(4, low=0.5, high=2, grad=False)),
    ],
    "nn.functional.kl_div": [
        Sample(X, TARGET, reduction="sum"),
        Sample(X, TARGET, reduction="none"),
        Sample(X, Y, reduction="batchmean", log_target=True),
    ],
    "nn.functional.cosine_embedding_loss": [Sample(X, Y, I(3, low=1, high=2))],
    "nn.functional.hinge_embedding_loss": [Sample(X, I(3, 4, low=1, high=2))],
    "nn.functional.margin_ranking_loss": [Sample(T(3), T(3), I(3, low=1, high=2))],
    "nn.functional.multi_margin_loss": [Sample(X, CLASSES)],
    "nn.functional.multilabel_soft_margin_loss": [Sample(X, TARGET)],
    "nn.functional.poisson_nll_loss": [Sample(X, TARGET)],
    "nn.functional.gaussian_nll_loss": [Sample(X, Y, T(3, 4, low=0.3, high=1))],
    "nn.functional.triplet_margin_loss": [Sample(X, Y, T(3, 4))],
    "nn.functional.cosine_similarity": [Sample(X, Y), Sample(X, Y, 0)],
    "nn.functional.pairwise_distance": [Sample(X, Y)],
}

ERRORS = {
    "nn.functional.mse_loss": [Error(X, Y, reduction="average", raises=ValueError, match="not a valid value for reduction")],
    "nn.functional.cross_entropy": [
        Error(X, I(2, high=4), raises=ValueError, match="batch"),
        Error(X, I(3, low=7, high=8), raises=IndexError, match="out of bounds"),
    ],
    "nn.functional.binary_cross_entropy": [
        Error(UNIT, T(4, low=0, high=1), raises=ValueError, match="size"),
        Error(T(2, low=2, high=3), T(2, low=0, high=1), raises=RuntimeError, match="between 0 and 1"),
    ],
    "nn.functional.nll_loss": [Error(X, B(3), raises=RuntimeError, match="")],
}
