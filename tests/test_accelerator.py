"""The pretend accelerator pretends well: what CUDA refuses it refuses, and what it computes is what the CPU does."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from helpers.networks import numerics


def batch(device="cpu"):
    return torch.arange(24.0).view(2, 3, 4).sin().to(device)


def net(device="cpu"):
    torch.manual_seed(0)
    layers = nn.Conv1d(3, 5, 2), nn.BatchNorm1d(5), nn.ReLU(), nn.Flatten(), nn.Linear(15, 2)
    return nn.Sequential(*layers).to(device)


def pushed(model, x):
    return torch.func.vmap(lambda v: torch.func.jvp(model, (x,), (v,))[1])(torch.stack([x, x.cos()]))


@pytest.mark.parametrize("mixed", [
    lambda here, there: here + there,
    lambda here, there: there + here,
    lambda here, there: torch.cat([here, there]),
    lambda here, there: there @ here.mT,
    lambda here, there: torch.where(there > 0, there, here),
    lambda here, there: there.mul_(here),
    lambda here, there: here[there[:, 0, 0].long()],
    lambda here, there: here[there > 0],
    lambda here, there: net(there.device)(here),
    lambda here, there: net()(there),
])  # fmt: skip
def test_two_devices_in_one_operation_are_refused(accelerator, mixed):
    with pytest.raises(RuntimeError, match="on the same device"):
        mixed(batch(), batch(accelerator))


def test_numbers_copies_and_indices_of_the_cpu_are_not(accelerator):
    there = batch(accelerator)
    assert (there + torch.ones(())).device == there[torch.tensor([1])].device == there[[1]].device == accelerator
    there.copy_(torch.ones(2, 3, 4))
    assert there.sum().item() == 24 and there.cpu().device.type == "cpu"


def test_a_copy_shares_no_memory(accelerator):
    here = batch()
    there = here.to(accelerator)
    here.zero_()
    assert there.any() and there.cpu().zero_().sum() == 0 and there.any()
    assert there.to(accelerator) is there


@pytest.mark.parametrize("read", [lambda x: x.numpy(), np.asarray, lambda x: np.stack([x])])
def test_numpy_does_not_read_it(accelerator, read):
    with pytest.raises(TypeError, match="can't convert"):
        read(batch(accelerator))
    assert read(batch(accelerator).cpu()) is not None


def test_what_is_made_on_it_lies_there_with_its_numbers(accelerator):
    made = [
        torch.tensor([1.0, 2.0], device=accelerator), torch.as_tensor([1.0, 2.0], device=accelerator),
        torch.arange(1.0, 3.0, device=accelerator), torch.linspace(1, 2, 2, device=accelerator),
        batch(accelerator).new_tensor([1.0, 2.0]), torch.ones(2, device=accelerator).cumsum(0),
        torch.ones_like(batch(accelerator))[0, 0, :2].cumsum(0), torch.from_numpy(np.float32([1, 2])).to(accelerator),
    ]  # fmt: skip
    for each in made:
        assert each.device == accelerator and each.tolist() == [1, 2]
    assert torch.tensor([1.0]).device.type == "cpu" and f"{made[0].max():.2f}" == "2.00"


def test_lists_and_masks_are_indices_to_read_and_write_by(accelerator):
    here, there = batch(), batch(accelerator)
    for each in (here, there):
        each[[1], :, [0, 2]] = 7.0
        each[each > 6] += 1
        each[:, 1:, range(2)] *= 2
    assert torch.equal(there.cpu(), here) and torch.equal(there[:, [2, 0]].cpu(), here[:, [2, 0]])


def test_generators_know_their_device(accelerator):
    there, here = torch.Generator(accelerator).manual_seed(3), torch.Generator().manual_seed(3)
    assert there.device == accelerator and here.device.type == "cpu"
    drawn = torch.randn(4, generator=there, device=accelerator)
    assert drawn.device == accelerator and torch.equal(drawn.cpu(), torch.randn(4, generator=here))
    for generator, device in ((here, accelerator), (there, "cpu")):
        with pytest.raises(RuntimeError, match="device type for generator"):
            torch.randperm(4, generator=generator, device=device)


@pytest.mark.parametrize("compute", [
    lambda at: torch.linalg.svd(batch(at)),
    lambda at: torch.linalg.eigh(batch(at) @ batch(at).mT),
    lambda at: torch.fft.irfft2(torch.fft.rfft2(batch(at))),
    lambda at: batch(at)[batch(at) > 0].sort(),
    lambda at: torch.func.vmap(torch.func.jacrev(lambda x: x.sin().sum(0)))(batch(at)),
    lambda at: pushed(net(at).eval(), batch(at)),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own
def test_results_are_those_of_the_cpu(accelerator, compute):
    found, expected = compute(accelerator), compute("cpu")
    for one, other in zip(found, expected, strict=True):
        assert one.device == accelerator and torch.equal(one.cpu(), other)


@pytest.mark.parametrize("rule", [torch.optim.SGD, torch.optim.Adam, partial(torch.optim.Adam, fused=True)])
def test_networks_train_on_it_and_move(accelerator, rule):
    trained = []
    for device in (accelerator, "cpu"):
        model = copy.deepcopy(net(device))
        optimiser = rule(model.parameters())
        for _ in range(2):
            optimiser.zero_grad()
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=False):
                model(batch(device)).square().sum().backward()
            optimiser.step()
        assert all(weight.device == weight.grad.device == torch.device(device) for weight in model.parameters())
        trained.append(model.double().float())
    moved = copy.deepcopy(trained[0]).to("cpu").state_dict()
    for name, value in trained[1].state_dict().items():
        assert trained[0].state_dict()[name].device == accelerator and torch.equal(moved[name], value)
    trained[0].load_state_dict(net().state_dict())
    assert torch.equal(trained[0][0].weight.cpu(), net()[0].weight)


def test_data_takes_it_before_the_cpu(accelerator):
    assert numerics.device() == numerics.device("auto") == numerics.device(accelerator) == accelerator
    assert numerics.device("cpu").type == "cpu"


def test_without_it_nothing_is_left_of_the_pretence():
    assert torch.Generator is torch._C.Generator and "__getitem__" not in vars(torch.Tensor)
    assert torch.ones(2, device="meta").is_meta
    with pytest.raises(ValueError, match="expected auto"):
        numerics.device("meta")
