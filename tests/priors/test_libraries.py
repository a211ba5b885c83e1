"""Layouts whose networks other libraries build; skipped where such a library is not installed.

Public files are made of exactly their names and shapes, on torch's meta device.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from weight_files import kair, write_torch

import untrained as ut
from untrained.errors import UserError
from untrained.maths import to_channels, to_complex
from untrained.physics import MRI
from untrained.priors import ARCHITECTURES, Denoiser, Provenance, load_prior
from untrained.priors.diffusion import linear_schedule
from untrained.priors.extra import library

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries, at their import


def needs(module: str) -> Any:
    """Import a library, or skip: beside a CPU build of torch some fail at import."""
    try:
        return importlib.import_module(module)
    except Exception as error:
        pytest.skip(f"{module} cannot be imported: {error}")


def drunet(**sizes: Any) -> nn.Module:
    return needs("deepinv.models").DRUNet(**{**sizes, "pretrained": None})


def ncsnpp(**sizes: Any) -> nn.Module:
    return needs("deepinv.models").NCSNpp(**{**sizes, "pretrained": None})


def admunet(**sizes: Any) -> nn.Module:
    return needs("deepinv.models").ADMUNet(**{**sizes, "pretrained": None})


def adm(**sizes: Any) -> nn.Module:
    return needs("azula.plugins.adm").make_model(**sizes).backbone


def e2e(**sizes: Any) -> nn.Module:
    return needs("fastmri.models").VarNet(**sizes)


EDM = {"img_resolution": 16, "model_channels": 32, "channel_mult": (1, 2), "num_blocks": 1}
ADM = {
    "image_size": 64,
    "num_channels": 32,
    "channel_mult": (1, 2),
    "num_head_channels": 64,
    "attention_resolutions": (32,),
}
SMALL: dict[str, tuple[str, Callable[..., nn.Module], dict[str, Any]]] = {
    "drunet": ("drunet", drunet, {"nc": (8, 8, 16, 16), "nb": 2}),
    "drunet grey": ("drunet", drunet, {"in_channels": 1, "out_channels": 1, "nc": (8,) * 4}),
    "ncsnpp": ("ncsnpp", ncsnpp, {**EDM, "attn_resolutions": (8,)}),
    "ddpmpp": ("ncsnpp", ncsnpp, {**EDM, "model_type": "ddpm", "augment_dim": 0}),
    "ncsnpp complex": ("ncsnpp", ncsnpp, {**EDM, "in_channels": 2, "out_channels": 2}),
    "admunet": ("admunet", admunet, {**EDM, "attn_resolutions": (16,), "num_blocks": 2}),
    "admunet complex": ("admunet", admunet, {**EDM, "in_channels": 2, "out_channels": 2}),
    "adm": (
        "adm",
        adm,
        {**ADM, "num_res_blocks": 1, "resblock_updown": True, "use_scale_shift_norm": True},
    ),
    "adm plain": ("adm", adm, {**ADM, "learn_var": False, "num_res_blocks": 2}),
    "adm three levels": (
        "adm",
        adm,
        {**ADM, "channel_mult": (1, 1, 2), "num_res_blocks": 1, "attention_resolutions": (16,)},
    ),
    "e2e": ("e2e", e2e, {"num_cascades": 2, "sens_chans": 4, "sens_pools": 2, "chans": 4}),
}
PUBLIC: dict[str, tuple[str, Callable[..., nn.Module], dict[str, Any], int]] = {
    "FFHQ-ADM": (
        "adm",
        adm,
        {
            "image_size": 256,
            "num_channels": 128,
            "channel_mult": (1, 1, 2, 2, 4, 4),
            "num_res_blocks": 1,
            "attention_resolutions": (16,),
            "num_head_channels": 64,
            "resblock_updown": True,
            "use_scale_shift_norm": True,
        },
        0,
    ),
    "ImageNet-ADM": (
        "adm",
        adm,
        {
            "image_size": 256,
            "num_channels": 256,
            "channel_mult": (1, 1, 2, 2, 4, 4),
            "num_res_blocks": 2,
            "attention_resolutions": (32, 16, 8),
            "num_head_channels": 64,
            "resblock_updown": True,
            "use_scale_shift_norm": True,
        },
        552_814_086,
    ),
    "DDS 320": (
        "adm",
        adm,
        {
            "image_channels": 2,
            "image_size": 320,
            "num_channels": 128,
            "channel_mult": (1, 1, 2, 2, 4, 4),
            "num_res_blocks": 1,
            "attention_resolutions": (20,),
            "num_head_channels": 64,
            "resblock_updown": True,
            "use_scale_shift_norm": True,
            "learn_var": False,
        },
        0,
    ),
    "InverseBench MRI": (
        "admunet",
        admunet,
        {
            "img_resolution": 320,
            "in_channels": 2,
            "out_channels": 2,
            "model_channels": 128,
            "channel_mult": (1, 1, 1, 2, 2),
            "attn_resolutions": (16,),
            "num_blocks": 1,
        },
        0,
    ),
    "EDM FFHQ 64": ("ncsnpp", ncsnpp, {}, 0),
    "DRUNet": ("drunet", drunet, {}, 32_640_960),
    "fastMRI VarNet": ("e2e", e2e, {}, 0),
}


def made(build: Callable[..., nn.Module], sizes: dict[str, Any]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(**sizes).eval()
    if isinstance(network, nn.Module):  # some layers begin as zeros, which would hide an error
        for weight in network.parameters():
            if not weight.any():
                nn.init.normal_(weight, std=0.1)
    return network


def direct(name: str, network: Any, x: Tensor, sigma: float, sizes: dict[str, Any]) -> Tensor:
    """The clean image as the library itself has it, x in the units of this one."""
    if name == "drunet":
        return network(x, sigma)
    plain = x.shape[1] == 2
    v, level = (x, sigma) if plain else (2 * x - 1, 2 * sigma)
    if name == "adm":
        t = torch.tensor([500])
        abar = linear_schedule(1e-4, 0.02, 1000)[500].float()
        noise = network(abar.sqrt() * v, t)[:, : x.shape[1]]
        clean = v - ((1 - abar) / abar).sqrt() * noise
    else:
        network.pixel_std = 0.5
        clean = network(v, torch.tensor([level]), input_in_minus_one_one=True)
    return clean if plain else (clean + 1) / 2


@pytest.mark.parametrize("case", [case for case in SMALL if case != "e2e"])
def test_a_file_gives_the_librarys_own_image(case: str, tmp_path: Path) -> None:
    name, build, sizes = SMALL[case]
    network = made(build, sizes)
    prior = load_prior(write_torch(tmp_path / "w.pt", {"ema": network.state_dict()}))
    assert isinstance(prior, Denoiser)
    assert prior.provenance.architecture == name
    x = torch.rand(1, prior.channels, 32, 32, generator=torch.Generator().manual_seed(1))
    sigma = 0.1
    if name == "adm":
        abar = linear_schedule(1e-4, 0.02, 1000)[500]
        sigma = float(((1 - abar) / abar).sqrt()) / (1 if prior.channels == 2 else 2)
    with torch.no_grad():
        found = prior.denoise(x, sigma)
        expected = direct(name, network, x, sigma, sizes)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)
    assert prior.denoise(x[..., :27, :30], sigma).shape[2:] == (27, 30)


@pytest.mark.parametrize("case", SMALL)
def test_a_wrong_file_is_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    name, build, sizes = SMALL[case]
    whole = made(build, sizes).state_dict()
    last = list(whole)[-1]
    for tensors, reason in (
        ({n: t for n, t in whole.items() if n != last}, "lacks|no network|none of|layout|decoder"),
        ({**whole, "strange": torch.ones(3)}, "has 'strange'"),
        ({**whole, last: torch.ones(3, 2)}, "would fit|no network|kernel|gives"),
    ):
        file = write_torch(tmp_path / "w.pt", tensors)
        with pytest.raises(UserError, match=rf"(?s)--prior: .*w\.pt: .*({reason})"):
            load_prior(f"{file}:{name}")


@pytest.mark.parametrize("case", PUBLIC)
def test_a_public_file_is_recognised_and_takes_a_step_on_meta(case: str) -> None:
    name, build, sizes, count = PUBLIC[case]
    with torch.device("meta"):
        tensors = build(**sizes).state_dict()
    if case == "InverseBench MRI":  # the preconditioning stands around the network there
        tensors = {f"model.{n}": t for n, t in tensors.items()}
    assert [n for n, one in ARCHITECTURES.items() if one.recognises(tensors)] == [name]
    prior = ARCHITECTURES[name].build(tensors, Provenance(name))
    expected = sum(one.numel() for one in tensors.values())
    assert sum(one.numel() for one in prior.network.state_dict().values()) == expected
    if count:
        assert prior.parameter_count == count
    if isinstance(prior, Denoiser):
        x = torch.empty(1, prior.channels, 320, 320, device="meta")
        assert prior.to("meta").denoise(x, 0.1).shape == x.shape


def test_the_end_to_end_network_is_fastmris(tmp_path: Path) -> None:
    """Its root of the sum of squares is fastMRI's own; ours has the phase that maps give."""
    network: Any = made(e2e, SMALL["e2e"][2])
    prior = load_prior(
        write_torch(
            tmp_path / "w.ckpt",
            {"state_dict": {f"varnet.{n}": t for n, t in network.state_dict().items()}},
        )
    )
    sides = (24, 32)
    mask = (torch.arange(32) % 2 == 0) | ((torch.arange(32) - 16).abs() < 4)
    generator = torch.Generator().manual_seed(3)
    maps = torch.complex(*torch.randn(2, 3, *sides, generator=generator))
    maps = maps / maps.abs().square().sum(0).sqrt()
    image = torch.randn(1, 2, *sides, generator=generator)
    problem = ut.Problem(MRI(mask, maps).A(image), MRI(mask, maps))
    measured = problem.y.permute(0, 2, 3, 4, 1).contiguous()
    with torch.no_grad():
        kspace = measured
        columns = mask.reshape(1, 1, 1, -1, 1)
        found_maps = network.sens_net(measured, columns)
        for cascade in network.cascades:
            kspace = cascade(kspace, measured, columns, found_maps)
        fastmri = needs("fastmri")
        own = torch.view_as_complex(fastmri.ifft2c(kspace).contiguous())[0]
        expected = to_channels((maps.conj() * own).sum(0)[None])
        found = prior.reconstruct(problem)  # type: ignore[operator]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    assert to_complex(found).abs().max() > 0
    rows = ut.Problem(
        MRI(mask[:24, None].expand(sides), maps).A(image), MRI(mask[:24, None].expand(sides), maps)
    )
    with pytest.raises(UserError, match="whole columns"):
        prior.reconstruct(rows)  # type: ignore[operator]


def folder_of_diffusers(path: Path, **changes: Any) -> tuple[Path, nn.Module]:
    model = needs("diffusers").UNet2DModel
    config = {
        "sample_size": 16,
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": [32, 32],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    }
    network = made(lambda: model.from_config(config), {})
    path.mkdir()
    (path / "config.json").write_text(
        json.dumps({**config, "_class_name": "UNet2DModel", **changes})
    )
    save_file(network.state_dict(), path / "diffusion_pytorch_model.safetensors")
    (path / "scheduler_config.json").write_text(
        json.dumps({"beta_start": 1e-4, "beta_end": 0.02, "num_train_timesteps": 1000})
    )
    return path, network


def test_a_folder_of_diffusers_gives_its_own_image(tmp_path: Path) -> None:
    folder, network = folder_of_diffusers(tmp_path / "ddpm")
    prior = load_prior(folder)
    assert prior.provenance.architecture == "diffusers"
    assert prior.provenance.file == "ddpm"
    abar = linear_schedule(1e-4, 0.02, 1000)[300].float()
    sigma = ((1 - abar) / abar).sqrt()
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        noise = network(abar.sqrt() * (2 * x - 1), torch.tensor([300])).sample
        found = prior.denoise(x, sigma / 2)  # type: ignore[operator]
    torch.testing.assert_close(found, x - sigma / 2 * noise, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "UNet2DModel is expected"),
        ({"block_out_channels": [32, 64]}, "would fit|lacks"),
        ({"block_out_channels": [32, 32, 32]}, "makes no network|lacks"),
        ({"num_class_embeds": 10}, "class of an image"),
    ],
)
def test_a_wrong_folder_of_diffusers_is_refused(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder, _ = folder_of_diffusers(tmp_path / "ddpm", **changes)
    with pytest.raises(UserError, match=f"--prior: .*ddpm: .*({reason})"):
        load_prior(folder)


def test_a_folder_without_weights_or_with_other_text_is_refused(tmp_path: Path) -> None:
    """These need no library: nothing is built of them."""
    config = tmp_path / "config.json"
    for text, reason in (
        ("{", "no JSON"),
        ("[1]", "no object"),
        ('{"_class_name": "Evil"}', "its network is Evil"),
        ('{"_class_name": "UNet2DModel"}', "there is no file"),
    ):
        config.write_text(text)
        with pytest.raises(UserError, match=reason):
            load_prior(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="no file of weights"):
        load_prior(tmp_path)
    with pytest.raises(UserError, match="folder of diffusers, and no dncnn"):
        load_prior(f"{tmp_path}:dncnn")


def test_a_missing_library_is_named_with_its_extra() -> None:
    with pytest.raises(UserError, match=r"package no_such_thing.*untrained\[priors\]"):
        library("no_such_thing.inside")


def test_these_layouts_do_not_claim_other_files() -> None:
    for name in ("drunet", "adm", "admunet", "ncsnpp", "e2e"):
        assert not ARCHITECTURES[name].recognises(kair())
