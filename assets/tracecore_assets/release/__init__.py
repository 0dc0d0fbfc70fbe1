"""Last step of a program: evidence collected, gates evaluated, waivers applied, the build sealed."""
