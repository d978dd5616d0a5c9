"""hw3lib.annotate.masks.sam_network: MobileSAM's published tensors, all used, in networks that answer alike."""

import pytest
import torch

from hw3lib.annotate.masks import sam_network as sam_model
from hw3lib.annotate.masks.sam_network import SamNetwork, from_hub, mobile_sam, published_names
from hw3lib.errors import Hw3Error


def test_a_small_network_embeds_at_a_sixteenth_and_masks_at_a_quarter(small_network):
    with torch.no_grad():
        embedding = small_network.encoder(torch.randn(2, 3, 64, 64))
        assert embedding.shape == (2, 32, 4, 4)
        tokens = small_network.prompts(torch.tensor([[4.0, 4, 40, 50], [0, 0, 64, 64]]), None, None)
        masks, iou = small_network.masks(embedding, tokens)
        assert masks.shape == (2, 1, 16, 16) and iou.shape == (2, 1)
        assert small_network.masks(embedding, tokens, multimask=True)[0].shape == (2, 3, 16, 16)


def test_prompts_of_one_image_are_answered_as_one_by_one(small_network):
    with torch.no_grad():
        embedding = small_network.encoder(torch.randn(1, 3, 64, 64))
        points, labels = torch.tensor([[[5.0, 9.0]], [[50.0, 30.0]], [[31.0, 2.0]]]), torch.tensor([[1], [1], [0]])
        tokens = small_network.prompts(None, points, labels)
        together, _ = small_network.masks(embedding, tokens)
        repeated, _ = small_network.masks(embedding.repeat(3, 1, 1, 1), tokens)
        for i in range(3):
            alone, _ = small_network.masks(embedding, small_network.prompts(None, points[i : i + 1], labels[i : i + 1]))
            assert torch.allclose(together[i], alone[0], atol=1e-5)
            assert torch.allclose(repeated[i], alone[0], atol=1e-5)
        assert not torch.allclose(together[0], together[1], atol=1e-3)


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("images", [1, 2])
def test_masks_are_those_of_the_decoders_own_forward(small_network, images, multimask):
    embedding = small_network.encoder(torch.randn(images, 3, 64, 64))
    tokens = small_network.prompts(torch.tensor([[4.0, 4, 40, 50], [0, 0, 64, 64]]), None, None)
    masks, iou = small_network.masks(embedding, tokens, multimask)
    wanted = small_network.mask_decoder(
        image_embeddings=embedding,
        image_positional_embeddings=small_network._positions(4).expand(images, -1, -1, -1),
        sparse_prompt_embeddings=tokens.reshape(images, 2 // images, -1, 32),
        dense_prompt_embeddings=small_network.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(
            embedding
        ),
        multimask_output=multimask,
    )
    assert torch.allclose(masks, wanted[0].flatten(0, 1), atol=1e-6)
    assert torch.allclose(iou, wanted[1].flatten(0, 1), atol=1e-6)

    def gradients(*outputs):
        parameters = list(small_network.mask_decoder.parameters())
        total = sum(output.square().sum() for output in outputs)
        found = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        return torch.cat([gradient.flatten() for gradient in found])

    assert torch.allclose(gradients(masks, iou), gradients(*wanted[:2]), rtol=1e-4, atol=1e-5)


def test_a_damaged_file_and_another_models_file_are_refused_by_name(tmp_path):
    damaged, other = tmp_path / "damaged.pt", tmp_path / "other.pt"
    damaged.write_bytes(b"no weights")
    torch.save({"layer.weight": torch.zeros(3)}, other)
    with pytest.raises(Hw3Error, match=r"damaged\.pt: cannot be read"):
        mobile_sam(damaged)
    with pytest.raises(Hw3Error, match=r"other\.pt: its tensors are not MobileSAM's"):
        mobile_sam(other)


def test_weights_that_run_code_are_not_loaded(tmp_path):
    torch.save({"x": pytest.raises}, tmp_path / "code.pt")
    with pytest.raises(Hw3Error, match="cannot be read"):
        mobile_sam(tmp_path / "code.pt")


def test_missing_weights_say_where_they_are_looked_for(tmp_path, monkeypatch):
    find = sam_model.find
    monkeypatch.setenv("HW3_WEIGHTS", str(tmp_path / "nowhere"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(sam_model, "find", lambda name: find(name, fetch=False))
    with pytest.raises(Hw3Error, match=r"mobile_sam\.pt, which are not on this machine\. Looked in .*nowhere"):
        mobile_sam()


def test_a_hub_that_cannot_be_reached_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # read once, when it is imported
    with pytest.raises(Hw3Error, match="no-such-owner/no-such-sam: cannot be loaded as a SAM"):
        from_hub("no-such-owner/no-such-sam")
    with pytest.raises(Hw3Error, match="cannot be loaded as a SAM"):
        from_hub(str(tmp_path))


def test_a_sam_of_the_transformers_family_answers_as_transformers_does(tmp_path):
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    vision = {"hidden_size": 16, "output_channels": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": 64, "window_size": 2, "global_attn_indexes": [1], "num_pos_feats": 16, "mlp_dim": 32}
    decoder = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
    model = SamModel(
        SamConfig(
            vision_config=vision,
            prompt_encoder_config={"hidden_size": 32, "image_size": 64},
            mask_decoder_config=decoder,
        )
    ).eval()
    model.save_pretrained(tmp_path / "sam")
    network = from_hub(str(tmp_path / "sam"))
    images, box = torch.randn(1, 3, 64, 64), torch.tensor([[8.0, 4, 40, 50]])
    with torch.no_grad():
        wanted = model(pixel_values=images, input_boxes=box[None], multimask_output=True)
        masks, iou = network.masks(network.encoder(images), network.prompts(box, None, None), multimask=True)
    assert torch.allclose(masks, wanted.pred_masks[0], atol=1e-5)
    assert torch.allclose(iou, wanted.iou_scores[0], atol=1e-5)


def test_every_published_tensor_is_used_but_the_classifiers(published_weights):
    state = torch.load(published_weights / "mobile_sam.pt", map_location="cpu", weights_only=True)
    renamed = published_names(state)
    assert set(renamed) == set(SamNetwork.build().state_dict())
    left_out = sorted(set(state) - {name for name in state if name in renamed})
    dropped = [name for name in left_out if name.startswith(("image_encoder.norm_head.", "image_encoder.head."))]
    assert len(state) - len(renamed) == len(dropped) == 4


def test_embeddings_and_masks_are_those_of_an_independent_implementation(published_weights, ultralytics):
    build = ultralytics("models.sam.build").build_mobile_sam
    path = published_weights / "mobile_sam.pt"
    ours, theirs = mobile_sam(path), build(str(path))
    torch.manual_seed(0)
    images, box = torch.randn(1, 3, 1024, 1024), torch.tensor([[100.0, 120, 400, 500]])
    point, label = torch.tensor([[[250.0, 300.0]]]), torch.tensor([[1]])
    with torch.no_grad():
        embedding, wanted = ours.encoder(images), theirs.image_encoder(images)
        assert torch.allclose(embedding, wanted, atol=1e-4) and wanted.abs().mean() > 0.01
        for boxes, points, labels in ((box, None, None), (None, point, label)):
            for multimask in (False, True):
                masks, iou = ours.masks(embedding, ours.prompts(boxes, points, labels), multimask)
                given = None if points is None else (points, labels)
                sparse, dense = theirs.prompt_encoder(points=given, boxes=boxes, masks=None)
                positions = theirs.prompt_encoder.get_dense_pe()
                expected = theirs.mask_decoder(wanted, positions, sparse, dense, multimask_output=multimask)
                assert torch.allclose(masks, expected[0], atol=1e-3) and torch.allclose(iou, expected[1], atol=1e-4)
