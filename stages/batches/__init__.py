"""Plan which images each training step sees."""
