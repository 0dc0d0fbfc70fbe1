"""Evidence in others' formats: exporters, an importer, a journal and a gate."""
