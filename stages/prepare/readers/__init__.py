"""Readers: each turns a folder of one format into training and test images with their classes' names."""
