"""Keys, envelopes, signed notes, key policies and the Merkle tree."""
