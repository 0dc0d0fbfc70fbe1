"""Values that every room of the record shares: times, facet classes, names, findings. Pure: no database, no file."""
