"""Losses for embeddings, under the names, arguments and defaults of TensorFlow Addons where it had them.

The class label of an image is its target, and the network's output its embedding: with `loss=TripletHardLoss()` in
`model.compile`, a batch's labels and embeddings are all that a loss needs.
"""

from stages.train.distances import angular_distance, pairwise_distance
from stages.train.losses.batch_all import TripletBatchAllLoss, triplet_batch_all_loss
from stages.train.losses.contrastive import (
    ContrastiveLoss,
    PairContrastiveLoss,
    contrastive_loss,
    pair_contrastive_loss,
)
from stages.train.losses.embedding_loss import EmbeddingLoss, label_vector
from stages.train.losses.explicit import TripletLoss, triplet_loss
from stages.train.losses.hard import TripletHardLoss, hard_distances, triplet_hard_loss
from stages.train.losses.semi_hard import TripletSemiHardLoss, triplet_semihard_loss
from stages.train.losses.siamese import SiameseLoss, siamese_head

__all__ = [
    "ContrastiveLoss",
    "EmbeddingLoss",
    "PairContrastiveLoss",
    "SiameseLoss",
    "TripletBatchAllLoss",
    "TripletHardLoss",
    "TripletLoss",
    "TripletSemiHardLoss",
    "angular_distance",
    "contrastive_loss",
    "hard_distances",
    "label_vector",
    "pair_contrastive_loss",
    "pairwise_distance",
    "siamese_head",
    "triplet_batch_all_loss",
    "triplet_hard_loss",
    "triplet_loss",
    "triplet_semihard_loss",
]
