"""Values shared by all packages of the record: times, facet classes, names, findings. No database or file access."""
