"""Random changes of images: what each does, and that each image has its own."""

import torch

from hw3lib.networks.augment import RandomAugment, RandomView


def images(n=8, size=21) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def draws(*values: float) -> torch.Tensor:
    """One image's draw: flip x, flip y, angle, brightness, contrast, saturation; 0.5 is no change from the third on."""
    return torch.tensor([values])


def test_augmentation_draws_for_each_image_and_keeps_the_range():
    x = images()
    x[1:] = x[0].clone()
    change = RandomAugment(flip=True, rotation=10, colour_jitter=0.5)
    out = change(x, change.draw(8, torch.Generator().manual_seed(0)))
    assert out.shape == x.shape and out.dtype == torch.float32 and out.min() >= 0 and out.max() <= 255
    for alone, variants in (({"flip": True}, 4), ({"rotation": 10}, 64), ({"colour_jitter": 0.5}, 64)):
        change, same = RandomAugment(**alone), x[:1].repeat(64, 1, 1, 1)
        out = change(same, change.draw(64, torch.Generator().manual_seed(0)))
        assert len({o.numpy().tobytes() for o in out}) == variants


def test_the_same_draw_changes_an_image_alone_or_in_a_batch_alike():
    change = RandomAugment(flip=True, rotation=30, colour_jitter=0.3)
    x, draw = images(), change.draw(8, torch.Generator().manual_seed(0))
    torch.testing.assert_close(change(x, draw)[3:5], change(x[3:5], draw[3:5]))


def test_flips_mirror_exactly():
    x, change = images(1), RandomAugment(flip=True)
    for values, expected in (((0.4, 0.6), x.flip(3)), ((0.6, 0.4), x.flip(2)), ((0.6, 0.6), x)):
        assert torch.equal(change(x, draws(*values, 0, 0, 0, 0)), expected.float())


def test_rotation_turns_about_the_centre_by_up_to_the_angle():
    x, change = images(1), RandomAugment(rotation=90)
    torch.testing.assert_close(change(x, draws(0, 0, 0.5, 0, 0, 0)), x.float(), atol=0.05, rtol=0)
    torch.testing.assert_close(change(x, draws(0, 0, 1, 0, 0, 0)), x.float().rot90(1, (2, 3)), atol=0.05, rtol=0)
    torch.testing.assert_close(change(x, draws(0, 0, 0, 0, 0, 0)), x.float().rot90(-1, (2, 3)), atol=0.05, rtol=0)


def test_jitter_changes_brightness_contrast_and_saturation():
    x, change = images(1).float() / 2 + 60, RandomAugment(colour_jitter=0.2)
    torch.testing.assert_close(change(x, draws(0, 0, 0, 0.5, 0.5, 0.5)), x)
    torch.testing.assert_close(change(x, draws(0, 0, 0, 1, 0.5, 0.5)), x * 1.2)
    duller = change(x, draws(0, 0, 0, 0.5, 0, 0.5))
    torch.testing.assert_close(duller.std((2, 3)), x.std((2, 3)) * 0.8)
    grey = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(duller.mean((2, 3)) @ grey, x.mean((2, 3)) @ grey, msg="the mean stays")
    paler = change(x, draws(0, 0, 0, 0.5, 0.5, 0))
    torch.testing.assert_close(paler.amax(1) - paler.amin(1), (x.amax(1) - x.amin(1)) * 0.8)


def test_what_is_off_changes_nothing():
    x = images()
    change = RandomAugment()
    assert torch.equal(change(x, change.draw(8, torch.Generator())), x.float())


def test_views_are_drawn_for_each_input_and_all_come_up():
    inputs = torch.arange(200).view(1, 1, 200).expand(3, 3, 200).clone() + 1000 * torch.arange(3).view(1, 3, 1)
    inputs = inputs.permute(2, 1, 0)  # 200 inputs, 3 views: input + 1000 * view
    pick = RandomView()
    out = pick(inputs, pick.draw(200, torch.Generator().manual_seed(0)))
    assert torch.equal(out[:, 0] % 1000, torch.arange(200))
    assert (out[:, 0] // 1000).bincount().min() > 50
    assert pick(inputs[:2], torch.tensor([0.0, 1.0]))[:, 0].tolist() == [0, 2001]
    assert pick.of_rows(inputs, torch.tensor([7, 5]), torch.tensor([0.0, 1.0]))[:, 0].tolist() == [7, 2005]
