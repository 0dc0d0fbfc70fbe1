"""Stages run in processes of their own: one worker a run, forked from a server with the kernel preloaded, that serves no other stage.

`workers` is the build's side. What a worker loaded and looked for in vain is what its run depends on; the record never lies in its reach.
"""
