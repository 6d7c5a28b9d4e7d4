"""The contract between the program and its extensions, and the registry that finds them."""
