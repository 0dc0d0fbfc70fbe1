"""OpenLineage events: strict parsing, building, and the artifacts and claims in them."""
