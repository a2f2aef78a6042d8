"""Networks: modules, the layers, losses, how weights begin, and the functions behind them."""

from retrograd.nn import functional, init, utils
from retrograd.nn.module import Module, register_module_forward_hook, register_module_forward_pre_hook
from retrograd.nn.modules.activation import (
    CELU, ELU, GELU, GLU, SELU, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, LogSigmoid, LogSoftmax, Mish, PReLU, ReLU,
    ReLU6, RReLU, Sigmoid, SiLU, Softmax, Softmax2d, Softmin, Softplus, Softshrink, Softsign, Tanh, Tanhshrink, Threshold,
)  # fmt: skip
from retrograd.nn.modules.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from retrograd.nn.modules.embedding import Embedding, EmbeddingBag
from retrograd.nn.modules.linear import Bilinear, Flatten, Identity, Linear, Unflatten
from retrograd.nn.modules.loss import (
    BCELoss, BCEWithLogitsLoss, CosineEmbeddingLoss, CosineSimilarity, CrossEntropyLoss, GaussianNLLLoss, HingeEmbeddingLoss,
    HuberLoss, KLDivLoss, L1Loss, MarginRankingLoss, MSELoss, MultiLabelMarginLoss, MultiLabelSoftMarginLoss, MultiMarginLoss, NLLLoss,
    PairwiseDistance, PoissonNLLLoss, SmoothL1Loss, SoftMarginLoss, TripletMarginLoss, TripletMarginWithDistanceLoss,
)  # fmt: skip
from retrograd.nn.parameter import Buffer, Parameter
