"""The stages of the workflow: prepare → batches → train → embed → evaluate and render."""
