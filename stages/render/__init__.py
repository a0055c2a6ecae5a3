"""Draw the embeddings."""
