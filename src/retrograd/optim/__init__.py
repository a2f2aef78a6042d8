"""Optimizers, and schedules of their learning rates."""

from retrograd.optim import lr_scheduler
from retrograd.optim.adam import Adam, AdamW
from retrograd.optim.optimizer import Optimizer
from retrograd.optim.rmsprop import Adadelta, Adagrad, RMSprop
from retrograd.optim.sgd import SGD

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
