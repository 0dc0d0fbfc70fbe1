"""The commands that make things: build, init and ui."""
