"""The catalog: rows projected from events, the current state they give, and the recorder that writes both in one transaction."""
