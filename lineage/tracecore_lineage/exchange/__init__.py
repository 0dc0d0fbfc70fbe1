"""Exchange with other systems: events, event files, bundles, bug reports."""
