"""How instruments run a network: what is switched off meanwhile, one thread at a time, and all as it was afterwards."""

import threading

import pytest
import torch
from torch import nn

from helpers.networks import evaluation


def state():
    return (
        torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision, torch.is_grad_enabled(),
        torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled(),
    )  # fmt: skip


def test_a_module_in_training_mode_is_named():
    net = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    with pytest.raises(ValueError, match="model: it is in training mode"):
        evaluation.check(net)
    net.eval()
    evaluation.check(net)
    net[1][1].train()
    with pytest.raises(ValueError, match="model: its 1.1 is in training mode"):
        evaluation.check(net)


def test_everything_is_switched_back():
    before = state()
    assert before[2:] == (True, True, True)
    with pytest.raises(ZeroDivisionError), evaluation.unrounded():
        with evaluation.differentiable():
            assert state() == ("ieee", "ieee", False, False, False)
        assert state() == ("ieee", "ieee", *before[2:])
        raise ZeroDivisionError
    assert state() == before


@pytest.mark.parametrize("guard", [evaluation.unrounded, evaluation.differentiable])
def test_threads_take_turns(guard):
    """Else the one that came first would switch back what the other still needs, and the other leave it switched."""
    before, inside, seen = state(), threading.Event(), []

    def other():
        inside.wait(10)
        with guard():
            seen.append(state()[:2])

    thread = threading.Thread(target=other)
    thread.start()
    with guard():
        inside.set()
        thread.join(0.2)
        assert thread.is_alive() and not seen
    thread.join(10)
    assert seen == [("ieee", "ieee")] and state() == before
