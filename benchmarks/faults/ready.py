"""Imports what commands and their workers need, and loads the face models: the preload of the fork server."""

from __future__ import annotations

import torch

import mgst_data.preview  # noqa: F401 - workers import it
from mgst_data.extract import ExtractConfig, job
from mgst_model.predict.faces import face_extractor

torch.set_num_threads(1)
job._load(ExtractConfig(), "cpu")
face_extractor()
