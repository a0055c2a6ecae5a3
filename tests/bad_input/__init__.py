"""What is refused, and what is read as it is meant: a table of cases for each kind of input, and one check for all."""
