"""Folds batch norms into convolutions, so that scoring is faster."""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Folds the batch norms of timm's EfficientNets into the convolutions before them, in place.

    In evaluation mode, a batch norm multiplies each channel by a constant and adds a constant, which the convolution
    can do too. In EfficientNets, neighbouring modules run one after another. This is not known for other backbones, so
    they stay unchanged.

    Args:
        network: Network in evaluation mode. It must not be trained or saved afterwards.

    Returns:
        The same network.

    Raises:
        ValueError: if the network is in training mode.
    """
    if network.training:
        raise ValueError("the network is in training mode; call network.eval() before folding batch norms")
    from timm.models import EfficientNet
    from timm.models.efficientnet import EfficientNetFeatures

    for model in [module for module in network.modules() if isinstance(module, EfficientNet | EfficientNetFeatures)]:
        for parent in model.modules():
            for (name, conv), (following, norm) in pairwise(list(parent.named_children())):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                    # timm's norms contain the activation that follows them, which must stay.
                    setattr(parent, following, nn.Sequential(*norm.children()))
    return network
