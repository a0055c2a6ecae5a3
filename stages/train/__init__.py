"""Train the embedding network."""
