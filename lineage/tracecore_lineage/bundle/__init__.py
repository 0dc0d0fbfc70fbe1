"""Bundles: a sealed build with everything it depends on, in one file that verifies without a workspace (docs/formats/bundle.md)."""
