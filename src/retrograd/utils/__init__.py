"""What training programs use around the network: data loading, checkpointing."""

from retrograd.utils import data

__all__ = ["data"]
