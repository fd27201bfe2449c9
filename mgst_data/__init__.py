"""Face video for deepfake detection: extraction, landmarks, augmentation, shards."""

from importlib.metadata import version

__version__ = version("mgst")
