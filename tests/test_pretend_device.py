"""The pretend device refuses what CUDA refuses, and counts what makes the CPU wait."""

from __future__ import annotations

import pytest
import torch
from pretend_device import DEVICE, PretendTensor, held, pretend


def test_tensors_get_there_and_back():
    with pretend() as waits:
        there = torch.arange(6.0).reshape(2, 3).to("cuda", non_blocking=True)
        there[0] = 7
        made = [torch.zeros(2, 3, device="cuda"), there.new_ones(2, 3), torch.ones_like(there), there.flip(-1).mT.mT]
        assert {tensor.device for tensor in made} == {DEVICE}
        assert not waits
        assert sum(made).cpu().tolist() == [[9, 9, 9], [7, 6, 5]]
        assert dict(waits) == {"outside copy to the CPU": 1}


MIXED = {
    "arithmetic": lambda there, here: there + here,
    "selection": lambda there, here: torch.where(there > 0, there, here),
    "joining": lambda there, here: torch.cat((there, here)),
    "a product": lambda there, here: there @ here.mT,
    "a row": lambda there, here: there.index_copy(0, torch.tensor([1]), there[:1]),
    "an index on the device": lambda there, here: here[(there > 0).long()],
    "values of an index": lambda there, here: there.index_put((torch.arange(2, device="cuda"),), here),
    "a generator": lambda there, here: torch.rand(2, generator=torch.Generator(), device="cuda"),
    "noise": lambda there, here: there.clone().normal_(generator=torch.Generator()),
    "a copy that has not arrived": lambda there, here: there.to("cpu", non_blocking=True),
}


@pytest.mark.parametrize("mix", MIXED)
def test_what_cuda_refuses_is_refused(mix):
    here = torch.ones(2, 3)
    with pretend(), pytest.raises(RuntimeError, match=r"on one device|on the CPU|on the device|generator|arrived"):
        MIXED[mix](here.to("cuda"), here)


def test_a_number_from_the_cpu_is_accepted():
    with pretend() as waits:
        assert held(torch.ones(2, device="cuda") * torch.tensor(3.0)).tolist() == [3, 3]
        assert not waits


WAITS = {
    "item": lambda there: there[0, 0].item(),
    "bool": lambda there: bool((there > 0).all()),
    "tolist": lambda there: there.tolist(),
    "nonzero": lambda there: there.nonzero(),
    "boolean index": lambda there: there[there > 0],
    "assignment": lambda there: there.__setitem__(there > 9, 0),
    "one element": lambda there: there.__setitem__((0, 1), 7),
    "list": lambda there: there[:, [1, 0]],
    "index on the CPU": lambda there: there[torch.tensor([1, 0])],
    "new_tensor": lambda there: there.new_tensor([1.0]),
    "tensor": lambda there: torch.tensor([1.0], device="cuda"),
    "copy to the device": lambda there: torch.ones(2).cuda(),
}


@pytest.mark.parametrize("way", WAITS)
def test_what_makes_the_cpu_wait_is_counted(way):
    with pretend() as waits:
        there = torch.ones(2, 2).to("cuda", non_blocking=True)
        assert not waits
        WAITS[way](there)
        assert waits.total() == 1


def test_a_module_moves_and_its_parameters_get_gradients():
    with torch.random.fork_rng(devices=[]):
        module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    with pretend() as waits:
        module = module.to("cuda")
        waits.clear()
        module(torch.ones(2, 3, 8, 8).to("cuda", non_blocking=True)).square().sum().backward()
        assert all(isinstance(parameter.grad, PretendTensor) for parameter in module.parameters())
        assert not waits
