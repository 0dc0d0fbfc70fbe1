"""Import label files of other tools into label batches, one module per format."""
