"""Parameter counts of the papers, shapes in every dimension, sizes, fields and their errors."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from untrained import nets
from untrained.errors import UserError
from untrained.nets import Compact, SkipNet, UNet, initialise


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("spec", "channels", "expected"),
    [
        (nets.SKIP, (32, 3), 2_217_831),
        (nets.SKIP_LIBRARY, (32, 3), 3_002_627),
        (nets.SKIP_LARGE_HOLE, (2, 3), 2_157_955),
        (nets.SKIP_TEXT, (1, 3), 2_996_467),
        (nets.SKIP_JPEG, (3, 3), 572_827),
        (nets.MEDIUM_UNET, (2, 2), 4_283_842),
        (nets.SHALLOW_UNET, (3, 3), 1_036_995),
        (nets.SKIP_OES, (32, 3), 3_008_867),
        (nets.DeepDecoder(sides=(512, 512)), (128, 3), 100_224),
        (nets.DeepDecoder(64, sides=(512, 512)), (64, 3), 25_536),
        (nets.DeepDecoder(256, start=16, sides=(256, 256)), (256, 1), 330_496),
        (nets.ConvDecoder(sides=(640, 368)), (256, 30), 4_141_854),
        (SkipNet(down=(64,), up=(64,), skip=(4,)), (3, 3), 82_979),
    ],
)
def test_parameter_counts_are_the_papers(spec, channels, expected):
    assert count(spec.build(*channels)) == expected


@pytest.mark.parametrize(
    ("spec", "channels", "encoder", "decoder"),
    [(nets.SKIP_SHARED, 3, 1_336_520, 846_467), (nets.MEDIUM_UNET, 2, 2_327_808, 1_956_034)],
)
def test_encoder_and_decoder_counts_are_ugodits(spec, channels, encoder, decoder):
    assert count(spec.encoder(channels)) == encoder
    assert count(spec.decoder(channels)) == decoder


def test_decoders_grow_as_the_papers_say():
    cs = nets.DeepDecoder(256, start=16, sides=(256, 256)).build(256, 1)
    sizes = [layer.size[0] for layer in cs.layers if isinstance(layer, nn.Upsample)]
    assert (cs.input_sides, sizes) == ((16, 16), [28, 49, 85, 148, 256])
    assert nets.ConvDecoder(sides=(640, 368)).build(256, 30).input_sides == (8, 4)


@pytest.mark.parametrize("sides", [(37,), (17, 23), (7, 10, 9), (2, 33)], ids=str)
@pytest.mark.parametrize("cls", [nets.DeepDecoder, nets.ConvDecoder])
def test_decoders_make_any_size_in_any_dimension(cls, sides):
    net = cls(6, depth=3, sides=sides).build(4, 2, dim=len(sides))
    initialise(net, 0)
    y = net(torch.randn(1, 4, *net.input_sides))
    assert y.shape == (1, 2, *sides)
    assert y.isfinite().all()
    with pytest.raises(ValueError, match="the input must be"):
        net(torch.randn(1, 4, *[side + 1 for side in net.input_sides]))
    with pytest.raises(UserError, match="needs the image's"):
        cls(6, depth=3).build(4, 2)


SMALL = [
    SkipNet(down=(6, 8, 8), up=(6, 8, 8), skip=(2, 0, 2)),
    SkipNet(down=(6, 8), up=(6, 8), skip=(2, 2), downsample="avg", upsample="nearest"),
    SkipNet(down=(6, 8), up=(6, 8), skip=(0, 0), kernel_down=5, downsample="max"),
    SkipNet(down=(6, 8), up=(6, 8), skip=(1, 1), padding="zeros", join_norm=False),
    UNet(widths=(4, 6, 8)),
    Compact(widths=(4, 6, 8)),
    Compact(widths=(4, 6, 8), skip=0, sigmoid=True),
    nets.S2SNet(4, 6, (5, 4), depth=2),
    nets.VCN(4, 3),
]
SIDES = [(37,), (2,), (16, 16), (17, 23), (2, 33), (7, 10, 9), (2, 3, 2)]


@pytest.mark.parametrize("spec", SMALL, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_any_size_in_any_dimension(spec, sides):
    net = spec.build(3, 2, dim=len(sides))
    initialise(net, 0)
    y = net(torch.randn(1, 3, *sides))
    assert y.shape == (1, 2, *sides)
    assert y.isfinite().all()
    assert y.is_contiguous()
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("spec", [SMALL[0], SMALL[4], SMALL[5]], ids=lambda s: type(s).__name__)
def test_an_image_without_room_is_refused(spec):
    with pytest.raises(UserError, match="1x64 and a network needs at least 2 pixels"):
        spec.build(1, 1)(torch.zeros(1, 1, 1, 64))
    with pytest.raises(ValueError, match="takes a tensor of 4 axes"):
        spec.build(1, 1)(torch.zeros(1, 64, 64))


def test_sigmoid_head_stays_between_0_and_1_and_a_linear_one_does_not():
    x = torch.randn(1, 3, 32, 32) * 10
    for spec in (SMALL[0], UNet(widths=(4, 8)), Compact(widths=(4, 8))):
        for sigmoid in (True, False):
            net = dataclasses.replace(spec, sigmoid=sigmoid).build(3, 2)
            initialise(net, 0)
            with torch.no_grad():
                next(p for n, p in net.decoder.head.named_parameters() if "weight" in n).mul_(100)
            y = net(x)
            assert bool(((y >= 0) & (y <= 1)).all()) == sigmoid


def test_depth_cuts_the_widths_or_repeats_the_last():
    widths = (4, 6, 8)
    for spec in (Compact(widths), UNet(widths)):
        for depth, same in ((2, (4, 6)), (3, widths), (5, (4, 6, 8, 8, 8))):
            deep = dataclasses.replace(spec, depth=depth).build(2, 2)
            assert count(deep) == count(dataclasses.replace(spec, widths=same).build(2, 2))
    deep = SkipNet(down=widths, up=widths, skip=(0, 1, 2), depth=4).build(2, 2)
    longer = (4, 6, 8, 8)
    for cls in (Compact, UNet, SkipNet, nets.S2SNet):
        assert cls(depth=1).build(1, 1)(torch.randn(1, 1, 5, 6)).shape == (1, 1, 5, 6)
    assert count(deep) == count(SkipNet(down=longer, up=longer, skip=(0, 1, 2, 2)).build(2, 2))


@pytest.mark.parametrize(
    ("cls", "fields", "message"),
    [
        (Compact, {"depth": 0}, "depth must be a whole number of at least 1, got 0"),
        (UNet, {"depth": 11}, "depth must be at most 10, got 11"),
        (UNet, {"depth": True}, "depth must be a whole number"),
        (Compact, {"widths": ()}, "widths must be a tuple of channel counts"),
        (Compact, {"widths": [8, 8]}, "widths must be a tuple of channel counts"),
        (UNet, {"widths": (8, 0)}, "every entry of widths must be a whole number of at least 1"),
        (Compact, {"skip": -1}, "skip must be a whole number of at least 0, got -1"),
        (SkipNet, {"up": (8,)}, "got 5, 1 and 5 entries"),
        (SkipNet, {"kernel_down": 4}, "kernel_down must be odd"),
        (SkipNet, {"upsample": "cubic"}, "upsample must be one of nearest, bilinear; got 'cubic'"),
        (SkipNet, {"padding": "circular"}, "padding must be one of"),
        (SkipNet, {"downsample": "lanczos"}, "downsample must be one of"),
    ],
)
def test_bad_fields_are_named(cls, fields, message):
    with pytest.raises(UserError, match=message):
        cls(**fields)


@pytest.mark.parametrize("spec", [SMALL[0], SMALL[4], SMALL[5]], ids=lambda s: type(s).__name__)
def test_bad_build_arguments_are_named(spec):
    with pytest.raises(UserError, match="in_channels"):
        spec.build(0, 1)
    with pytest.raises(UserError, match="out_channels"):
        spec.build(1, 0)
    with pytest.raises(UserError, match="dim must be 1, 2 or 3"):
        spec.build(1, 1, dim=4)


def test_nets_maps_names_to_hashable_descriptions():
    names = {"skip", "unet", "compact", "deepdecoder", "convdecoder", "s2s", "vcn", "siren", "edip"}
    names |= {"wire", "attention_unet"}
    assert set(nets.NETS) == names
    for cls in nets.NETS.values():
        assert hash(cls()) == hash(cls())
        assert cls() == cls()
