"""The CLI's command loader and the kernel's commands. Internal."""
