"""Presentation: trees, pages, diagrams, pictures of frames, SQL."""
