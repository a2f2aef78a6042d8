"""Tools around training: data, checkpoints that save memory."""

from retrograd.utils import checkpoint, data
