"""Running stages in worker processes: one worker per run, forked from a server with the kernel preloaded.

`workers` is the build's side. A run's dependencies are what its worker loaded and failed to find. Workers have no access to the record.
"""
