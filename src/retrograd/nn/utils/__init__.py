"""What is done to gradients and parameters as a whole: clipping, and one vector of all."""

from retrograd.nn.utils import rnn
from retrograd.nn.utils.gradients import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from retrograd.nn.utils.vector import parameters_to_vector, vector_to_parameters
