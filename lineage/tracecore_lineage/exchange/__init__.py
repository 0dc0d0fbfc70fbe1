"""What comes from and goes to others: events, event files, bundles, bug reports."""
