"""Measure the embeddings."""
