"""OpenLineage events: parsed strictly, built, and what they say of artifacts."""
