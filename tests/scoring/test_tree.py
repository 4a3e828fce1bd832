"""Tests of rows and masks, drawn by hand."""

import numpy as np
import pytest
import torch
from scoring_worlds import scoring_model
from tiny_models import tiny_model

from concord.errors import ModelError
from concord.models.architecture import architecture_of
from concord.scoring.tree import rows_for, tree_attention, tree_mask, visible_until
from concord.scoring.trie import build_trie

# nodes: 0 root, 1 = a, 2 = a b, 3 = a c, 4 = d
TRIE = build_trie([(1, 2, 9), (1, 3, 9), (4, 9)], texts=["abx", "acx", "dx"])


def test_a_node_sees_the_prompt_its_ancestors_and_itself() -> None:
    until = visible_until(TRIE, np.array([1, 2, 3, 4]), 2)
    mask = tree_mask(torch.from_numpy(np.append(until, 6))[None])[0].int()
    wanted = [
        # p  p  a  ab ac d  padding
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 1, 0, 0],
        [1, 1, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ]
    assert mask.tolist() == wanted


def test_some_nodes_see_as_in_the_whole_tree() -> None:
    # a, a c, d without a b
    until = visible_until(TRIE, np.array([1, 3, 4]), 1)
    assert tree_mask(torch.from_numpy(until)[None])[0].int().tolist() == [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 0, 0, 1],
    ]


def test_a_tree_row_holds_all_nodes_and_reads_each_once() -> None:
    (row,) = rows_for(7, TRIE, np.arange(5), layout="tree", most_nodes=10)
    assert row.job == 7
    assert row.nodes.tolist() == [1, 2, 3, 4]
    assert row.reads.tolist() == [0, 1, 2, 3, 4]


def test_long_rows_are_split_between_first_tokens() -> None:
    rows = rows_for(0, TRIE, np.arange(5), layout="tree", most_nodes=3)
    assert [row.nodes.tolist() for row in rows] == [[1, 2, 3], [4]]
    assert [row.reads.tolist() for row in rows] == [[0, 1, 2, 3], [4]]
    # one subtree is never split
    rows = rows_for(0, TRIE, np.arange(5), layout="tree", most_nodes=1)
    assert [row.nodes.tolist() for row in rows] == [[1, 2, 3], [4]]


def test_chain_rows_hold_one_path_each_and_read_every_node_once() -> None:
    rows = rows_for(0, TRIE, np.arange(5), layout="chains", most_nodes=10)
    assert [row.nodes.tolist() for row in rows] == [[1, 2], [1, 3], [4]]
    assert [row.reads.tolist() for row in rows] == [[0, 1, 2], [3], [4]]


def test_ancestors_that_were_read_before_are_fed_and_not_read_again() -> None:
    (row,) = rows_for(0, TRIE, np.array([3]), layout="tree", most_nodes=10)
    assert (row.nodes.tolist(), row.reads.tolist()) == ([1, 3], [3])


def test_the_end_of_a_prompt_needs_no_node() -> None:
    (row,) = rows_for(0, TRIE, np.array([0]), layout="tree", most_nodes=10)
    assert (row.nodes.tolist(), row.reads.tolist()) == ([], [0])


def test_the_mask_has_the_form_its_attention_takes() -> None:
    places = torch.tensor([[0, 1, 2, 3]])
    for implementation, kind in [("sdpa", torch.bool), ("eager", torch.float32)]:
        network = tiny_model("llama", implementation=implementation)
        with tree_attention(
            network,
            architecture_of(network),
            is_real=torch.ones_like(places),
            places=places,
            until=torch.tensor([[3, 3, 3, 3]]),
        ) as mask:
            assert (mask.dtype, tuple(mask.shape)) == (kind, (1, 1, 4, 4))


def test_a_module_that_takes_no_such_argument_is_refused() -> None:
    # As if a new release of transformers named the argument differently.
    network = tiny_model("bloom")
    places = torch.tensor([[0, 1, 1]])
    first = network.transformer.h[0]
    real = first.forward
    with pytest.raises(ModelError, match="BloomBlock takes no argument 'alibi'"):
        with tree_attention(
            network,
            architecture_of(network),
            is_real=torch.ones_like(places),
            places=places,
            until=torch.tensor([[2, 1, 2]]),
        ):
            first(torch.zeros(1, 3, network.config.hidden_size), slopes=None)
    assert first.forward == real and not first._forward_pre_hooks


def test_no_hook_is_left_behind() -> None:
    for family in ("t5", "bloom"):
        model = scoring_model(family)
        places = torch.tensor([[0, 1, 1]])
        try:
            with tree_attention(
                model.network,
                model.architecture,
                is_real=torch.ones_like(places),
                places=places,
                until=torch.tensor([[2, 1, 2]]),
            ):
                raise KeyError
        except KeyError:
            pass
        hooks = [m._forward_pre_hooks for m in model.network.modules()]
        assert not any(hooks)
