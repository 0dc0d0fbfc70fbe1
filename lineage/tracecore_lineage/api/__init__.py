"""The public facade of the record, and the binding of workspaces to ledgers."""
