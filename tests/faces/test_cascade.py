"""The networks of MTCNN, and non-maximum suppression: equal to the libraries that they stand for."""

import subprocess
import sys

import facenet_pytorch
import pytest
import torch
from torchvision.ops import batched_nms

from mgst_data.faces import cascade, detect
from mgst_data.faces.cascade import load_network
from mgst_data.faces.suppress import suppress


@pytest.mark.parametrize(("name", "size"), [("PNet", (37, 52)), ("RNet", (24, 24)), ("ONet", (48, 48))])
def test_the_networks_are_those_of_facenet_pytorch(name, size, device, generator):
    with torch.random.fork_rng(devices=[]):
        theirs = getattr(facenet_pytorch, name)().eval().requires_grad_(False).to(device)
    theirs = theirs.to(memory_format=torch.channels_last)
    pictures = torch.rand(5, 3, *size, generator=generator).to(device) * 2 - 1
    for mine, expected in zip(load_network(name, torch.device(device))(pictures), theirs(pictures), strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [0, 1, 40, 1500])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_the_boxes_that_are_kept_are_those_of_torchvision(count, threshold, device, generator):
    corner = torch.rand(count, 2, generator=generator) * 300
    boxes = torch.cat((corner, corner + 12 + 60 * torch.rand(count, 2, generator=generator)), dim=1).to(device)
    scores = (0.1 + 0.9 * torch.rand(count, generator=generator)).to(device)
    group = torch.randint(0, 4, (count,), generator=generator).to(device)
    kept = suppress(boxes, scores, group, threshold)
    assert kept.dtype == torch.long
    assert torch.equal(kept, batched_nms(boxes, scores, group, threshold))
    assert count < 1500 or len(kept) < count


def test_an_extraction_imports_neither_torchvision_nor_the_compiler_of_torch():
    code = (
        "import sys; from mgst_data.extract.extractor import Extractor; from mgst_data.extract import ExtractConfig;"
        "Extractor(ExtractConfig());"
        "print([m for m in ('torchvision', 'torch._dynamo', 'facenet_pytorch', 'timm', 'sympy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("size", [(324, 576), (651, 410), (24, 12_000), (2_000, 90)])
def test_strips_of_a_picture_give_what_the_whole_gives(size, device, generator):
    pnet = load_network("PNet", torch.device(device))
    picture = torch.rand(1, 3, *size, generator=generator).to(device) * 2 - 1
    with torch.inference_mode():
        for whole, parts in zip(pnet(picture), detect._in_strips(pnet, picture), strict=True):
            torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 6), (46, 47)])
def test_blocks_are_pooled_as_torch_pools_them(size, generator):
    maps = torch.randn(2, 10, *size, generator=generator)
    assert torch.equal(cascade._Pool()(maps), torch.nn.MaxPool2d(2, 2, ceil_mode=True)(maps))
