"""Computes which regions of a face carry its score: Grad-CAM, for networks without patch scores.

Grad-CAM weights the last feature maps by the gradient of the logit [Selvaraju et al., ICCV 2017]. Unlike some other
maps, it depends on the weights of the network [Adebayo et al., "Sanity checks for saliency maps", 2018].
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn


class Explainer:
    """Computes maps of frames with ``captum``.

    Args:
        network: Takes ``(b, t, 3, h, w)`` in [0, 1] and returns a
            :class:`~mgst_model.networks.output.SegmentOutput`; with feature maps inside. It must be in evaluation mode.

    Raises:
        ImportError: if captum is not installed.
    """

    def __init__(self, network: nn.Module) -> None:
        try:
            from captum.attr import LayerGradCam
        except ImportError as error:
            raise ImportError("maps of the face need captum: pip install 'mgst[explain]'") from error
        self._network, self._method = network, LayerGradCam
        self._cam: Any = None

    def __call__(self, frames: UInt8[Tensor, "n 3 h w"], *, batch: int = 16) -> Float[Tensor, "n g g"]:
        """Returns a map of each frame: 1 where its logit is raised most, 0 where it is not raised.

        Args:
            frames: RGB frames of one face.
            batch: Frames per call of the network.

        Raises:
            ValueError: if the network has no square feature maps.
        """
        device = next(self._network.parameters()).device
        if self._cam is None:
            self._cam = self._method(self._logit, _last_maps(self._network, frames[:1].to(device)))
        found = []
        with torch.inference_mode(mode=False), torch.enable_grad():
            for begin in range(0, len(frames), batch):
                pixels = frames[begin : begin + batch].clone().to(device).float().div_(255).requires_grad_()
                found.append(self._cam.attribute(pixels, relu_attributions=True).detach()[:, 0].cpu())
        maps = torch.cat(found)
        return maps / maps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)

    def _logit(self, frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, " n"]:
        """Returns the logit of each frame by itself."""
        logit: Tensor = self._network(frames[:, None]).logit
        return logit


def _last_maps(network: nn.Module, frame: UInt8[Tensor, "1 3 h w"]) -> nn.Module:
    """Finds the last module whose output are feature maps.

    Raises:
        ValueError: if there is none.
    """
    seen: list[nn.Module] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] == output.shape[-2] > 1:
            seen.append(module)

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    try:
        with torch.no_grad():
            network(frame[:, None].float().div(255))
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise ValueError("the network has no feature maps to explain a score with")
    return seen[-1]
