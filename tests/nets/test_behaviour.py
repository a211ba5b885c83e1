"""Padding, batch statistics, the fused step up, functional transforms and drawing from a seed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from untrained.errors import UserError
from untrained.nets import VCN, Compact, SkipNet, UNet, blocks, initialise
from untrained.nets.compact import JoinUp
from untrained.nets.sizes import _bounce, crop_to, pad_to

SMALL = [
    SkipNet(down=(6, 8), up=(6, 8), skip=(2, 0)),
    UNet(widths=(4, 6, 8)),
    Compact(widths=(4, 6, 8)),
    VCN(4, 3),
]
each_net = pytest.mark.parametrize("spec", SMALL, ids=lambda s: type(s).__name__)


def test_padding_reflects_as_torch_does_and_cropping_undoes_it():
    x = torch.randn(2, 3, 9, 14)
    padded = pad_to(x, 8, 8)
    assert torch.equal(padded, functional.pad(x, (1, 1, 3, 4), mode="reflect"))
    assert torch.equal(crop_to(padded, x.shape[2:]), x)


@pytest.mark.parametrize("sides", [(17,), (17, 9), (5, 9, 8)])
def test_padding_reflects_about_the_end_pixels(sides):
    x = torch.rand(2, 3, *sides)
    expected = x
    for axis, side in enumerate(sides, start=2):
        expected = expected.index_select(axis, _bounce(side, -(-side // 8) * 8, x.device))
    assert torch.equal(pad_to(x, 8, 8), expected)
    assert torch.equal(torch.vmap(lambda one: pad_to(one[None], 8, 8)[0])(x), expected)


def test_padding_bounces_where_one_reflection_is_too_short():
    padded = pad_to(torch.tensor([[[0.0, 1.0, 2.0]]]), 1, 13)
    assert padded.flatten().tolist() == [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    assert crop_to(padded, torch.Size([3])).flatten().tolist() == [0, 1, 2]


def test_nothing_is_copied_when_the_size_suits():
    x = torch.randn(1, 1, 16, 32)
    assert pad_to(x, 8, 16) is x


@each_net
def test_statistics_are_the_batchs_own_in_eval_mode_too(spec):
    net = spec.build(2, 1)
    initialise(net, 0)
    x = torch.randn(1, 2, 16, 16)
    first = net.train()(x)
    net(x * 5 + 3)
    assert torch.equal(net.eval()(x), first)
    assert not list(net.buffers())


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("side", [0, 3])
def test_the_fused_step_up_is_double_concatenate_convolve(dim, side):
    torch.manual_seed(0)
    join = JoinUp(dim, side, 5, 4).double()
    x = torch.randn(2, 5, *(3, 4, 2)[:dim], dtype=torch.float64)
    across = torch.randn(2, side, *(6, 8, 4)[:dim], dtype=torch.float64) if side else None
    doubled = functional.interpolate(x, scale_factor=2, mode="nearest")
    plain = join.conv(doubled if across is None else torch.cat((across, doubled), 1))
    assert torch.allclose(join(x, across), plain, atol=1e-12)


@each_net
def test_vmap_over_weights_equals_one_network_after_the_other(spec):
    built = [spec.build(2, 1).double() for _ in range(2)]
    for seed, net in enumerate(built):
        initialise(net, seed)
    params, _ = stack_module_state(built)
    x = torch.randn(2, 1, 2, 9, 12, dtype=torch.float64)
    together = vmap(lambda p, z: functional_call(built[0], p, (z,)))(params, x)
    for g, net in enumerate(built):
        assert torch.allclose(together[g], net(x[g]), atol=1e-9)


@each_net
def test_the_gradient_is_that_of_finite_differences(spec):
    """The activations overwrite their input: this fails if a gradient needed it."""
    net = spec.build(2, 1).double()
    initialise(net, 0)
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: net(z).square().sum(), (x,), fast_mode=True)


def test_padding_modes_differ_at_the_border_only():
    x = torch.randn(1, 1, 8, 8)
    layers = {mode: blocks.conv(2, 1, 1, 3, padding=mode) for mode in blocks.PADDINGS}
    for layer in layers.values():
        layer.load_state_dict(layers["zeros"].state_dict())
    answers = {mode: layer(x) for mode, layer in layers.items()}
    inside = (..., slice(1, -1), slice(1, -1))
    for mode in ("reflect", "replicate"):
        assert torch.allclose(answers[mode][inside], answers["zeros"][inside], atol=1e-6)
        assert not torch.allclose(answers[mode], answers["zeros"], atol=1e-3)


@each_net
def test_initialise_depends_on_the_seed_alone(spec):
    one, two = spec.build(2, 1), spec.build(2, 1).double()
    state = torch.get_rng_state()
    initialise(one, 7)
    initialise(two, 7)
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a.double(), b)
    initialise(two, 8)
    assert not torch.equal(next(one.parameters()).double(), next(two.parameters()))


def test_initialise_draws_the_unets_own_scheme_and_pytorchs_for_the_others():
    net = UNet(widths=(32, 64)).build(4, 2)
    initialise(net, 0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 1000:
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert module.bias is not None
            assert not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.4)
            assert module.weight.mean().item() == pytest.approx(1.0, abs=0.02)
            assert not module.bias.any()
    stem = Compact(widths=(32, 32)).build(16, 2)
    initialise(stem, 0)
    weight = stem.encoder.stem[0].weight
    assert weight.abs().max().item() == pytest.approx(1 / 12, rel=0.01)  # 1/sqrt(16 * 9)


def test_initialise_leaves_no_parameter_behind():
    net = SMALL[0].build(2, 1)
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(123.0)
    initialise(net, 0)
    assert all((p != 123.0).all() for p in net.parameters())

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

    with pytest.raises(UserError, match=r"'0' \(Own\) has parameters but no reset_parameters"):
        initialise(nn.Sequential(Own()), 0)
