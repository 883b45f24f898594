# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Trained networks to the form in which they are deployed, whatever their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from seg_perception.errors import UserError
from seg_perception.networks import axial_deeplab, axial_deploy, deploy, deploy_sanet, segvit
from seg_perception.networks.sanet import SANet
from seg_perception.networks.segnext import SegNeXt


@dataclass(frozen=True)
class Deployment:
    """How one kind of network is deployed.

    Attributes:
        network: the class that is trained.
        describe: a trained network to what a model file records to build it again, with 'name'.
        fold: a trained network to its deployed form; weights are copied.
        build: such a description and the number of classes to the deployed form, without weights.
            It has `float32_layers`, those that no half type may compute.
    """

    network: type[nn.Module]
    describe: Callable[[Any], dict[str, Any]]
    fold: Callable[[Any], nn.Module]
    build: Callable[[Mapping[str, Any], int], nn.Module]


DEPLOYMENTS = {
    'segnext': Deployment(
        SegNeXt, deploy.describe_network, deploy.fold_segnext, deploy.build_deployed
    ),
    'sanet': Deployment(
        SANet,
        deploy_sanet.describe_sanet,
        deploy_sanet.fold_sanet,
        deploy_sanet.build_deployed_sanet,
    ),
    segvit.NAME: Deployment(
        segvit.SegViT, segvit.describe_segvit, segvit.fold_segvit, segvit.build_deployed_segvit
    ),
    axial_deeplab.NAME: Deployment(
        axial_deeplab.AxialDeepLab,
        axial_deploy.describe_axial_deeplab,
        axial_deploy.fold_axial_deeplab,
        axial_deploy.build_deployed_axial_deeplab,
    ),
}


def find_deployment(network: nn.Module) -> Deployment:
    """Return how a trained network is deployed; raises UserError where it cannot be."""
    for deployment in DEPLOYMENTS.values():
        if isinstance(network, deployment.network):
            return deployment
    raise UserError(
        f'{type(network).__name__} cannot be exported, only {", ".join(DEPLOYMENTS)} can'
    )


def describe_network(network: nn.Module) -> dict[str, Any]:
    """Return what a model file records to build the network again."""
    return find_deployment(network).describe(network)


def fold_network(network: nn.Module) -> nn.Module:
    """Return the deployed form of a trained network, in evaluation mode; weights are copied."""
    return find_deployment(network).fold(network)


def build_deployed(description: Mapping[str, Any], num_classes: int) -> nn.Module:
    """Build the deployed network that `describe_network` described, with empty weights.

    Raises UserError for a network or variant that is not known.
    """
    name = description.get('name')
    if name not in DEPLOYMENTS:
        raise UserError(
            f'network {dict(description)} is not known; expected name {" or ".join(DEPLOYMENTS)}; '
            'export the model again'
        )
    return DEPLOYMENTS[name].build(description, num_classes)
