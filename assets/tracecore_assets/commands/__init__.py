"""Commands of the assets package: build, init, rebuild, ui and why-stale."""
