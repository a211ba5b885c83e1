"""Self-attention against torch's own, windows, and the U-Net that has it at coarse scales."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import untrained as ut
from untrained.errors import UserError
from untrained.nets import AttentionUNet, UNet, initialise
from untrained.nets.attention import SelfAttention
from untrained.physics import Denoise
from untrained.run.plan import plan
from untrained.solver.memory import memory_need


def block(dim: int = 2, window: int = 16, *, shift: bool = False, drawn: bool = True):
    """8 channels, 2 heads; with an output layer that is drawn, since it begins at zero."""
    made = SelfAttention(dim, 8, 2, window, shift=shift)
    initialise(made, 0)
    if drawn:
        nn.init.normal_(made.out.weight, generator=torch.Generator().manual_seed(1))
    return made


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def reference(ours: SelfAttention, x: Tensor) -> Tensor:
    """torch.nn.MultiheadAttention with the same weights, on all pixels of x."""
    theirs = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight.flatten(1))
        theirs.out_proj.weight.copy_(ours.out.weight.flatten(1))
    tokens = x.flatten(2).transpose(1, 2)
    return theirs(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize("sides", [(11,), (6, 5), (3, 4, 2)], ids=str)
def test_attention_in_one_window_is_that_of_torch(sides: tuple[int, ...]) -> None:
    """In one, two and three dimensions, for two images at once."""
    ours, x = block(len(sides)), noise(2, 8, *sides)
    torch.testing.assert_close(ours(x), x + reference(ours, ours.norm(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shift", "starts"), [(False, (0, 4, 8)), (True, (2, 6))])
def test_every_window_attends_to_itself_alone(shift: bool, starts: tuple[int, ...]) -> None:
    """Torch's attention on each window of a 12 x 12 image; shifted ones that do not wrap."""
    ours, x = block(window=4, shift=shift), noise(1, 8, 12, 12)
    out, normed = ours(x) - x, ours.norm(x)
    for i in starts:
        for j in starts:
            window = (..., slice(i, i + 4), slice(j, j + 4))
            expected = reference(ours, normed[window])
            torch.testing.assert_close(out[window], expected, rtol=1e-4, atol=1e-5)


def test_nobody_attends_to_what_lies_beyond_the_border() -> None:
    """A side that windows do not divide: the last window is what is left of the image."""
    ours, x = block(window=4), noise(1, 8, 10, 4)
    out, normed = ours(x) - x, ours.norm(x)
    expected = reference(ours, normed[..., 8:, :])
    torch.testing.assert_close(out[..., 8:, :], expected, rtol=1e-4, atol=1e-5)


def test_a_new_block_is_the_identity() -> None:
    x = noise(1, 8, 6, 6)
    assert torch.equal(block(drawn=False)(x), x)


@pytest.mark.parametrize("sides", [(37,), (2,), (17, 23), (2, 33), (7, 10, 9)], ids=str)
def test_any_size_in_any_dimension(sides: tuple[int, ...]) -> None:
    """Shape, finite values, and a gradient for every weight."""
    net = AttentionUNet(widths=(4, 8, 8), levels=2, heads=2, window=4).build(3, 2, dim=len(sides))
    initialise(net, 0)
    y = net(noise(1, 3, *sides))
    assert y.shape == (1, 2, *sides)
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_only_the_coarse_scales_attend() -> None:
    """Two blocks for each of `levels` scales; without them it is the U-Net."""
    made = AttentionUNet(widths=(4, 8, 8, 8), levels=2, heads=2)
    blocks = [p for p in made.build(1, 1).modules() if isinstance(p, SelfAttention)]
    assert [b.shift for b in blocks] == [False, True] * 2
    own = sum(p.numel() for b in blocks for p in b.parameters())
    total, plain = (
        sum(p.numel() for p in spec.build(1, 1).parameters()) for spec in (made, UNet((4, 8, 8, 8)))
    )
    assert total - own == plain


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 3}, "a width of 128 cannot be shared by heads=3"),
        ({"levels": 4}, "only scales below the finest attend, of which 4 widths have 3"),
        ({"window": 1}, "window must be a whole number of at least 2"),
        ({"window": 65}, "window must be at most 64"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        AttentionUNet(**fields)


def test_it_is_a_network_of_every_method_and_its_memory_is_counted() -> None:
    """`--set net=attention_unet` keeps the range of the output; the image's memory is linear."""
    recipe = plan("inpaint", method="dip", settings=["net=attention_unet"]).recipe
    assert recipe is not None
    assert recipe.net == AttentionUNet(sigmoid=True)
    needs = [
        memory_need(recipe, ut.Problem(torch.rand(1, 1, n, n), Denoise((1, n, n))))
        for n in (256, 512)
    ]
    assert needs[1].full < 4.2 * needs[0].full
    assert needs[0].lean < needs[0].full
    y = torch.rand(1, 1, 24, 24)
    few = ["net=attention_unet", "net.widths=4,8,8", "net.heads=2"]
    result = ut.reconstruct(
        y, Denoise((1, 24, 24)), "dip", settings=few, steps=3, progress=False, compare=False
    )
    assert result.image.shape == y.shape
