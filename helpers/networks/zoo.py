"""The networks of a chapter: what they share, and what each condition changes.

A network is named by its model, its condition and its seed, in every chapter and in every table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from helpers.networks import models, training
from helpers.networks.fitting import Spec

STATES = ("calibrated", "epoch", "share")  # what a condition may say besides the fields of a Spec


@dataclass(frozen=True)
class Zoo:
    """Networks by model, condition and seed.

    Attributes:
        shared: fields of `Spec` that all conditions share.
        conditions: what each changes in them; besides, `calibrated` takes batch norm's statistics afresh
            (`training.calibrate`), `epoch` stops training there, and `share` trains for that share of the epochs, one
            at least. One of 0 epochs is untrained even where what is shared has weights from elsewhere.
        device: where the networks are.
        own: what models whose names begin so have in place of what is shared, such as another length of training.

    ValueError for a field that `Spec` has not.
    """

    shared: Mapping[str, Any]
    conditions: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {"trained": {}, "untrained": {"epochs": 0}}
    )
    device: torch.device | str | None = None
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {*(each.name for each in fields(Spec)), *STATES} - {"model", "seed"}
        for name, changes in [("shared", self.shared), *self.own.items(), *self.conditions.items()]:
            if unknown := set(changes) - known:
                expected = f"expected fields of Spec but model and seed, {' or '.join(STATES)}"
                raise ValueError(f"{name}: {sorted(unknown)}, {expected}")

    def spec(self, model: str, condition: str, seed: int) -> Spec:
        """What decides the weights. ValueError for a condition that there is not."""
        given = {name: value for name, value in self._chosen(model, condition).items() if name not in STATES}
        return Spec(model=model, seed=seed, **given)

    def _chosen(self, model: str, condition: str) -> dict[str, Any]:
        """What decides a network of this model and condition besides its seed."""
        if condition not in self.conditions:
            raise ValueError(f"condition={condition!r}: expected one of {', '.join(self.conditions)}")
        changes, chosen = self.conditions[condition], dict(self.shared)
        for start, own in self.own.items():
            chosen |= own if model.startswith(start) else {}
        untrained = changes.get("epochs") == 0 and chosen.get("weights", "train") != "train"
        chosen |= {**({"weights": "none"} if untrained else {}), **changes}
        if "share" in chosen:
            chosen["epochs"] = max(1, round(chosen["share"] * chosen.get("epochs", Spec.epochs)))
        return chosen

    def network(self, model: str, condition: str, seed: int) -> training.Trained:
        """The network in evaluation mode, from the cache or trained now."""
        chosen = self._chosen(model, condition)
        epochs = [chosen["epoch"]] if "epoch" in chosen else []
        net = training.checkpoints(self.spec(model, condition, seed), epochs=epochs, device=self.device)[0]
        return training.calibrate(net) if chosen.get("calibrated") else net

    def prefetch(self, wanted: Iterable[Mapping[str, Any]]) -> None:
        """Train what the cache lacks of these networks (their model, condition and seed), one process a core."""
        specs: dict[Spec, tuple] = {}
        for each in wanted:
            spec = self.spec(each["model"], each["condition"], each["seed"])
            epoch = self._chosen(each["model"], each["condition"]).get("epoch")
            specs[spec] = (*specs.get(spec, ()), *([] if epoch is None else [epoch]))
        training.prefetch(specs, self.device)

    def accuracy(self, wanted: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One row a network: what `wanted` says of it, and what it was trained to."""
        return [dict(each) | self.network(each["model"], each["condition"], each["seed"]).accuracy for each in wanted]

    def points(self, model: str, seed: int, condition: str | None = None) -> dict[str, float]:
        """The points of a network in order, `input` first, with their relative depth."""
        net = self.network(model, condition or next(iter(self.conditions)), seed)
        images = training.dataset(net.spec, self.device)
        return models.points(net.model, images.normalise(images.test_images[:2]))
