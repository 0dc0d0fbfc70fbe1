"""Recorded data into frames, signals, sweeps and calibrations: stages of the tracecore plugin."""
