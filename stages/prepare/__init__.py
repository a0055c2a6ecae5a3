"""Read labelled images and split them into training, validation and test."""
