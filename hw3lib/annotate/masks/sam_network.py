"""SAM's networks: MobileSAM from its published checkpoint, or one of transformers' SAM family."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import linear

from hw3lib.annotate.weights import find
from hw3lib.core.saved import load_tensors
from hw3lib.core.text import first_line
from hw3lib.errors import Hw3Error

if TYPE_CHECKING:
    from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder

MOBILE_SAM = "mobile_sam.pt"
# Left in MobileSAM's file from the ImageNet classifier that its encoder began as; nothing in SAM reads them.
_CLASSIFIER = re.compile(r"image_encoder\.(norm_head|head)\.")
_NAMES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"^image_encoder\.neck\.", "encoder.neck."),
    (r"^image_encoder\.patch_embed\.seq\.0\.", "encoder.trunk.patch_embed.conv1."),
    (r"^image_encoder\.patch_embed\.seq\.2\.", "encoder.trunk.patch_embed.conv2."),
    # timm reduces the resolution at the beginning of a stage, the checkpoint at the end of the one before.
    (r"^image_encoder\.layers\.(\d)\.downsample\.", lambda m: f"encoder.trunk.stages.{int(m[1]) + 1}.downsample."),
    (r"^image_encoder\.layers\.", "encoder.trunk.stages."),
    (r"^(encoder\..*)\.c\.weight$", r"\1.conv.weight"),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", "prompt_encoder.shared_embedding.pe"),
    (r"shared_embedding\.pe$", "shared_embedding.positional_embedding"),
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"^(mask_decoder\.transformer\..*)\bnorm(\d)\.", r"\1layer_norm\2."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"(mlps\.\d|iou_prediction_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(mlps\.\d|iou_prediction_head)\.layers\.2\.", r"\1.proj_out."),
    (r"(mlps\.\d|iou_prediction_head)\.layers\.1\.", r"\1.layers.0."),
]


@dataclass(frozen=True)
class Size:
    """How large a SAM is. The defaults are MobileSAM's; other values serve small models with random weights.

    Attributes:
        image_size: side in pixels of the square that the encoder takes, a multiple of 16.
        embed_dims, depths, num_heads, window_sizes: of TinyViT's four stages.
        hidden_size: channels of the image embedding and of the decoder.
        mlp_dim: width of the decoder's feed-forward layers.
        decoder_heads: attention heads of the decoder.
    """

    image_size: int = 1024
    embed_dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (2, 4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 7, 14, 7)
    hidden_size: int = 256
    mlp_dim: int = 2048
    decoder_heads: int = 8


class TinyViTEncoder(nn.Module):
    """TinyViT whose last stage keeps its resolution, and SAM's neck: ``(N, 3, S, S)`` to ``(N, C, S / 16, S / 16)``.

    MobileSAM: Zhang et al. 2023, arXiv 2306.14289; TinyViT: Wu et al. 2022, arXiv 2207.10666.
    """

    def __init__(self, size: Size):
        super().__init__()
        from timm.layers import LayerNorm2d  # slow: imports torchvision
        from timm.models.tiny_vit import TinyVit

        self.trunk = TinyVit(
            num_classes=0,
            embed_dims=size.embed_dims,
            depths=size.depths,
            num_heads=size.num_heads,
            window_sizes=size.window_sizes,
            drop_path_rate=0.0,
        )
        self.trunk.head = nn.Identity()  # type: ignore[assignment]  # nothing asks for the classifier
        last = self.trunk.stages[-1].get_submodule("downsample.conv2.conv")
        assert isinstance(last, nn.Conv2d)
        last.stride = (1, 1)
        self.neck = nn.Sequential(
            nn.Conv2d(size.embed_dims[-1], size.hidden_size, 1, bias=False),
            LayerNorm2d(size.hidden_size),
            nn.Conv2d(size.hidden_size, size.hidden_size, 3, padding=1, bias=False),
            LayerNorm2d(size.hidden_size),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.neck(self.trunk.stages(self.trunk.patch_embed(images)))


class _VisionModel(nn.Module):
    """An image encoder of transformers, which gives an output object."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.encoder(images).last_hidden_state


class SamNetwork(nn.Module):
    """The three networks of SAM (Kirillov et al. 2023, arXiv 2304.02643): image encoder, prompt encoder, mask decoder.

    Attributes:
        image_size: side in pixels of the square that the encoder takes.
    """

    def __init__(self, encoder: nn.Module, prompt_encoder: SamPromptEncoder, mask_decoder: SamMaskDecoder):
        super().__init__()
        self.encoder, self.prompt_encoder, self.mask_decoder = encoder, prompt_encoder, mask_decoder
        self.image_size = int(prompt_encoder.input_image_size)

    @classmethod
    def build(cls, size: Size | None = None) -> SamNetwork:
        """A network with random weights, drawn from torch's global generator."""
        from transformers.models.sam import modeling_sam as sam  # slow

        size = size or Size()
        vision = {"image_size": size.image_size, "num_pos_feats": size.hidden_size // 2}
        prompt = {"image_size": size.image_size, "hidden_size": size.hidden_size}
        decode = {
            "hidden_size": size.hidden_size,
            "mlp_dim": size.mlp_dim,
            "num_attention_heads": size.decoder_heads,
            "iou_head_hidden_dim": size.hidden_size,
            "layer_norm_eps": 1e-5,  # as in the published code; transformers' default is another
        }
        config = sam.SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decode)
        assert isinstance(config.mask_decoder_config, sam.SamMaskDecoderConfig)  # made of the values above
        config.mask_decoder_config._attn_implementation = "sdpa"
        decoder = sam.SamMaskDecoder(config.mask_decoder_config)
        return cls(TinyViTEncoder(size), sam.SamPromptEncoder(config), decoder).eval()

    def with_own_decoder(self) -> SamNetwork:
        """A network with a copy of the decoder, which shares the encoders."""
        return SamNetwork(self.encoder, self.prompt_encoder, copy.deepcopy(self.mask_decoder))

    @property
    def device(self) -> torch.device:
        return self.mask_decoder.iou_token.weight.device

    def prompts(
        self, boxes: torch.Tensor | None, points: torch.Tensor | None, labels: torch.Tensor | None
    ) -> torch.Tensor:
        """Prompt tokens, float32 ``(N, tokens, C)``.

        Args:
            boxes: float ``(N, 4)``, corners x, y, x, y in pixels of the encoder's square; or None.
            points: float ``(N, k, 2)``, x, y; or None.
            labels: ``(N, k)``: 1 on the object, 0 beside it, -1 for a point that is none.
        """
        given = [None if x is None else x[None] for x in (points, labels)]
        # Prompts go in transformers' second dimension, so that one image may have several.
        tokens, _ = self.prompt_encoder(*given, None if boxes is None else boxes[None], None)
        return tokens[0]

    def masks(
        self, embeddings: torch.Tensor, tokens: torch.Tensor, multimask: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mask logits, float32 ``(N, m, S / 4, S / 4)``, and predicted IoUs ``(N, m)``; m is 3 with ``multimask``.

        What the decoder's own ``forward`` gives, in two thirds of its time on a CPU: that one keeps the channels of
        an image apart, so that each addition and product gathers them anew, and makes masks that nobody asked for.

        Args:
            embeddings: float32 ``(N, C, S / 16, S / 16)``, or one for all tokens, ``(1, C, S / 16, S / 16)``.
            tokens: ``(N, tokens, C)``, see :meth:`prompts`.
        """
        decoder, count, side = self.mask_decoder, len(tokens), embeddings.shape[-1]
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(count, -1, -1)
        image = embeddings + self.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        queries, keys = decoder.transformer(
            point_embeddings=torch.cat([own, tokens], 1)[:, None],
            image_embeddings=image.contiguous(memory_format=torch.channels_last).expand(count, -1, -1, -1),
            image_positional_embeddings=self._positions(side),
            attention_similarity=None,
        )[:2]  # some versions add the attention
        image = keys[:, 0].transpose(1, 2).unflatten(2, (side, side))
        image = decoder.activation(decoder.upscale_layer_norm(_doubled(image, decoder.upscale_conv1)))
        image = decoder.activation(_doubled(image, decoder.upscale_conv2))
        asked = range(1, decoder.num_mask_tokens) if multimask else range(1)
        filters = [decoder.output_hypernetworks_mlps[k](queries[:, 0, 1 + k]) for k in asked]
        logits = image.flatten(2).transpose(1, 2) @ torch.stack(filters, 2)
        expected = decoder.iou_prediction_head(queries[:, 0, 0])[:, asked.start : asked.stop]
        return logits.transpose(1, 2).unflatten(2, image.shape[2:]), expected

    def _positions(self, side: int) -> torch.Tensor:
        at = (torch.arange(side, device=self.device, dtype=torch.float32) + 0.5) / side
        grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
        return self.prompt_encoder.shared_embedding(grid).permute(2, 0, 1)[None]


def _doubled(image: torch.Tensor, layer: nn.ConvTranspose2d) -> torch.Tensor:
    """What a transposed convolution with kernel and stride 2 makes of ``(N, C, h, w)``: ``(N, D, 2 h, 2 w)``.

    Its blocks of 2 x 2 do not overlap, so that it is one product, which a CPU does faster, above all backwards.
    """
    weight, bias = layer.weight.permute(2, 3, 1, 0).flatten(0, 2), layer.bias
    blocks = linear(image.permute(0, 2, 3, 1), weight, None if bias is None else bias.repeat(4))
    rows = blocks.unflatten(3, (2, 2, -1)).transpose(2, 3)  # (N, h, 2, w, 2, D)
    return rows.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def published_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """MobileSAM's published tensors under the names of :class:`SamNetwork`; those of the classifier are left out."""
    renamed = {}
    for name, tensor in state.items():
        if _CLASSIFIER.match(name):
            continue
        for pattern, new in _NAMES:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    return renamed


def mobile_sam(path: str | Path | None = None) -> SamNetwork:
    """MobileSAM with its published weights (Apache-2.0), on the CPU.

    Args:
        path: the file ``mobile_sam.pt``; None looks for it, see :func:`hw3lib.annotate.weights.find`.

    Raises:
        Hw3Error: the file is nowhere, cannot be read, or holds another model.
    """
    path = Path(path) if path else find(MOBILE_SAM)
    try:
        state = load_tensors(path)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise Hw3Error(
            f"{path}: cannot be read as weights ({type(error).__name__}); delete it and load it again"
        ) from None
    network = SamNetwork.build()
    try:
        network.load_state_dict(published_names(state))
    except (RuntimeError, AttributeError, TypeError) as error:
        said = str(error).splitlines()[-1].strip()[:200]
        raise Hw3Error(
            f"{path}: its tensors are not MobileSAM's ({said}); expected the published {MOBILE_SAM}"
        ) from None
    return network


def from_hub(name: str) -> SamNetwork:
    """A model of transformers' SAM family, such as ``facebook/sam-vit-base``, from the hub, its cache or a folder.

    Raises:
        Hw3Error: the hub cannot be reached and the cache does not have it, or it is no SAM.
    """
    from transformers import SamModel  # slow

    try:
        loaded: Any = SamModel.from_pretrained(name, output_loading_info=True)  # with the report it is a pair
        model, report = loaded
    except Exception as error:  # the hub's client raises many kinds
        raise Hw3Error(
            f"{name}: cannot be loaded as a SAM from Hugging Face's hub, its cache or a folder of that name "
            f"({type(error).__name__}: {first_line(error)[:160]}); check the name and the connection, or take "
            f"{MOBILE_SAM}"
        ) from None
    if report["missing_keys"] or report["mismatched_keys"]:
        missing = sorted(report["missing_keys"]) or sorted(map(str, report["mismatched_keys"]))
        raise Hw3Error(
            f"{name}: is no SAM, its weights lack {missing[0]} and {len(missing) - 1} more; take another model"
        )
    return SamNetwork(_VisionModel(model.vision_encoder), model.prompt_encoder, model.mask_decoder).eval()
