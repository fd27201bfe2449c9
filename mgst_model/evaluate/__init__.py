"""What is measured of a network: scores of videos, metrics, tables."""
