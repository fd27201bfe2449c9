"""Batch norms folded into the convolutions before them: what scores pictures has less to compute."""

from __future__ import annotations

from itertools import pairwise

from timm.models import EfficientNet
from timm.models.efficientnet import EfficientNetFeatures
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Folds, in place, the batch norms of timm's EfficientNets into their convolutions; of others, nothing.

    In evaluation a batch norm is a factor and a summand of each channel, which the convolution can hold as well. In
    EfficientNets, modules that stand beside each other run one after another; of other backbones that is not known.

    Args:
        network: In evaluation mode; it can neither be trained nor saved afterwards.

    Returns:
        The same network.

    Raises:
        ValueError: if the network is in training.
    """
    if network.training:
        raise ValueError("batch norms of a network in training are no constants")
    for model in [module for module in network.modules() if isinstance(module, EfficientNet | EfficientNetFeatures)]:
        for parent in model.modules():
            for (name, conv), (following, norm) in pairwise(list(parent.named_children())):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                    # timm's norms hold the activation that follows them.
                    setattr(parent, following, nn.Sequential(*norm.children()))
    return network
