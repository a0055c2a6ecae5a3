"""Compute the embeddings of all images, with the trained and with the untrained network."""
