"""Embedding networks: from raw pixels 0..255 to embeddings, of stock Keras layers only.

A network carries its own scaling, so that whoever loads it feeds images as they are.
"""

from stages.train.networks.convolutional import compact, conv_blog, tutorial
from stages.train.networks.residual import resnet50

__all__ = ["compact", "conv_blog", "resnet50", "tutorial"]
