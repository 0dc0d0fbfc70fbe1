"""The public facade of the record, and the binding of a workspace to it."""
