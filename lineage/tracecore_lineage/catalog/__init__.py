"""The catalog: rows projected from events, queries of the current state, and the recorder, which writes events and rows in one transaction."""
