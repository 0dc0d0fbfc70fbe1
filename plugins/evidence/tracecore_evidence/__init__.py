"""Exporters to and an importer from other formats, a journal and a gate: stages of the tracecore plugin."""
