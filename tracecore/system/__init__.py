"""What the kernel asks of the machine: locks, settings, installed code, and failures in words. Internal."""
