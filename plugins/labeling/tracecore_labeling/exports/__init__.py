"""Label batches written in the formats of others' tools."""
