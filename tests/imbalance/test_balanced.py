"""The balanced batch sampler: what a batch and an epoch hold."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from hw3lib.errors import Hw3Error
from hw3lib.imbalance.methods.balanced import BalancedBatchSampler

LABELS = np.repeat([0, 1, 2], [10, 4, 1])


def test_every_batch_has_the_classes_in_equal_numbers():
    batches = list(BalancedBatchSampler(LABELS, per_class=2))
    assert len(batches) == 5
    for batch in batches:
        assert Counter(LABELS[batch].tolist()) == {0: 2, 1: 2, 2: 2}


def test_an_epoch_ends_when_the_largest_class_has_come_once():
    sampler = BalancedBatchSampler(LABELS, per_class=2)
    seen = Counter(np.concatenate(list(sampler)).tolist())
    assert [seen[i] for i in range(10)] == [1] * 10
    assert sorted(seen[i] for i in range(10, 14)) == [2, 2, 3, 3]  # 10 draws of 4 images: none twice more than another
    assert seen[14] == 10


def test_a_last_batch_is_filled_up():
    sampler = BalancedBatchSampler(LABELS, per_class=4)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 3
    assert all(len(batch) == 12 for batch in batches)


def test_epochs_differ_and_come_again():
    sampler = BalancedBatchSampler(LABELS, per_class=2, seed=3)
    first, second = list(sampler), list(sampler)
    assert first != second
    sampler.epoch = 1
    assert list(sampler) == second
    assert list(BalancedBatchSampler(LABELS, per_class=2, seed=3)) == first
    assert list(BalancedBatchSampler(LABELS, per_class=2, seed=4)) != first


def test_a_data_loader_takes_it():
    data = TensorDataset(torch.arange(15), torch.from_numpy(LABELS))
    loader = DataLoader(data, batch_sampler=BalancedBatchSampler(LABELS, per_class=1))
    assert len(loader) == 10
    assert all(sorted(y.tolist()) == [0, 1, 2] for _, y in loader)


@pytest.mark.parametrize("arguments", [([], 1, 0), ([0, 1], 0, 0), ([0, 1], 1, -1)])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(Hw3Error, match="expected"):
        BalancedBatchSampler(*arguments)
