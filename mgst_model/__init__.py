"""The multi-grained parallel spatio-temporal network for deepfake video detection."""
