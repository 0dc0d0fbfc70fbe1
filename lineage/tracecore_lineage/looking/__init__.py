"""Pictures of what the record holds: frames with boxes, cuboids, points and paths, sheets of them, and files for Rerun."""
