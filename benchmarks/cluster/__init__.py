"""Simulates an extraction on many machines, from durations that real extractions have reported."""
