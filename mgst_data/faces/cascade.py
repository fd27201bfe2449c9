"""The three networks of MTCNN, with the weights of facenet-pytorch.

Only files of the package facenet-pytorch are read. Its modules are not imported: they import torchvision, and with it
torch's compiler, which doubles the time that a worker needs to start.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

_pool = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)


class _Pool(nn.Module):
    """Largest values of blocks of 2 x 2 pixels; the last ones may be smaller.

    For maps of few channels it takes a quarter of the time of nn.MaxPool2d.
    """

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
        for axis in (2, 3):
            if maps.shape[axis] % 2:
                maps = torch.cat((maps, maps.narrow(axis, -1, 1)), dim=axis)
            first, second = maps.unfold(axis, 2, 2).unbind(-1)
            maps = torch.maximum(first, second)
        return maps


class _Flatten(nn.Module):
    """Flattens maps in the order of the original code: columns, rows, channels."""

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n m"]:
        return maps.permute(0, 3, 2, 1).flatten(1)


class _Cascade(nn.Module):
    """One network: layers one after another, then heads on the same features.

    Args:
        layers: Layers by the names in the file of the weights.
        heads: Heads by these names. The first one has two logits; the second one is that of a face.
    """

    def __init__(self, layers: Mapping[str, nn.Module], heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in {**layers, **heads}.items():
            self.add_module(name, part)
        self._layers, self._heads = tuple(layers.values()), tuple(heads.values())

    def forward(self, pictures: Float[Tensor, "n 3 h w"]) -> tuple[Tensor, ...]:
        """Returns the other heads in their order, and the probabilities of no face and a face (n, 2, ...)."""
        features = pictures
        for layer in self._layers:
            features = layer(features)
        logits, *others = (head(features) for head in self._heads)
        return *others, logits.softmax(dim=1)


def _pnet() -> _Cascade:
    layers = {
        "conv1": nn.Conv2d(3, 10, 3), "prelu1": nn.PReLU(10), "pool1": _Pool(),
        "conv2": nn.Conv2d(10, 16, 3), "prelu2": nn.PReLU(16),
        "conv3": nn.Conv2d(16, 32, 3), "prelu3": nn.PReLU(32),
    }  # fmt: skip
    return _Cascade(layers, {"conv4_1": nn.Conv2d(32, 2, 1), "conv4_2": nn.Conv2d(32, 4, 1)})


def _rnet() -> _Cascade:
    layers = {
        "conv1": nn.Conv2d(3, 28, 3), "prelu1": nn.PReLU(28), "pool1": _pool(),
        "conv2": nn.Conv2d(28, 48, 3), "prelu2": nn.PReLU(48), "pool2": _pool(),
        "conv3": nn.Conv2d(48, 64, 2), "prelu3": nn.PReLU(64), "flatten": _Flatten(),
        "dense4": nn.Linear(576, 128), "prelu4": nn.PReLU(128),
    }  # fmt: skip
    return _Cascade(layers, {"dense5_1": nn.Linear(128, 2), "dense5_2": nn.Linear(128, 4)})


def _onet() -> _Cascade:
    layers = {
        "conv1": nn.Conv2d(3, 32, 3), "prelu1": nn.PReLU(32), "pool1": _pool(),
        "conv2": nn.Conv2d(32, 64, 3), "prelu2": nn.PReLU(64), "pool2": _pool(),
        "conv3": nn.Conv2d(64, 64, 3), "prelu3": nn.PReLU(64), "pool3": nn.MaxPool2d(2, 2, ceil_mode=True),
        "conv4": nn.Conv2d(64, 128, 2), "prelu4": nn.PReLU(128), "flatten": _Flatten(),
        "dense5": nn.Linear(1152, 256), "prelu5": nn.PReLU(256),
    }  # fmt: skip
    heads = {"dense6_1": nn.Linear(256, 2), "dense6_2": nn.Linear(256, 4), "dense6_3": nn.Linear(256, 10)}
    return _Cascade(layers, heads)


_BUILDERS = {"PNet": _pnet, "RNet": _rnet, "ONet": _onet}


def load_network(name: str, device: torch.device) -> nn.Module:
    """Loads a network of MTCNN with the weights that facenet-pytorch ships, frozen.

    Its outputs are the shift of each side of the box, in O-Net also five points, and the probability of a face.

    Args:
        name: "PNet", "RNet" or "ONet".
        device: Device of the network.

    Raises:
        ImportError: if facenet-pytorch is not installed.
    """
    spec = importlib.util.find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        raise ImportError("face detection needs facenet-pytorch: pip install facenet-pytorch")
    # Created on the meta device, because constructors would draw random weights from the global generator.
    with torch.device("meta"):
        network = _BUILDERS[name]()
    weights = Path(spec.origin).parent / "data" / f"{name.lower()}.pt"
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True), assign=True)
    return network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
