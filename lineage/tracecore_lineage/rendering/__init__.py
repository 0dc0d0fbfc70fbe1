"""Answers for people: a trace as a tree in the terminal, as Mermaid and as DOT."""
