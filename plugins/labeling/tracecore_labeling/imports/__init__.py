"""Label files of other tools read into label batches, one module a format."""
