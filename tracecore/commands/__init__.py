"""The command line: the shell that finds commands, and the kernel's own ones. Internal."""
