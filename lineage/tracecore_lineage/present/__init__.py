"""Answers for people: trees, pages, diagrams, pictures of frames, SQL."""
