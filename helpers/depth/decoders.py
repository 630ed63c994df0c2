"""A learned decoder of a layer: what a trained reader gets back of an image from its code.

Its error on images that it has not seen is an upper bound on the error that the layer makes unavoidable: what it gets
back is in the code, and a better decoder may get back more.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from helpers.networks.activations import Point, collect, record
from helpers.networks.numerics import stream

Codes = Float[Tensor, "n *code"]
Images = Float[Tensor, "n c h w"]


class Decoder(nn.Module):
    """Codes (n, d) or (n, k, i, j) to images (n, c, h, w), float32; in evaluation mode clipped to [0, 1].

    It predicts what differs from the mean image, as the sum of a linear and a convolutional part. Both take the code
    less its mean, in units of its spread (of a feature, or a channel), and double its side until it is the image's: the
    one in a single transposed convolution, the other in as many as it takes, with ReLUs and a convolution before and
    after. A vector (or a map of one pixel) goes through a linear layer to a small map first. What has become larger
    than the image is averaged down to it.
    """

    def __init__(self, codes: Codes, images: Images, width: int):
        super().__init__()
        spread = codes.var(0, correction=0)
        spread = (spread if codes.ndim == 2 else spread.mean((1, 2), keepdim=True)).sqrt()
        self.register_buffer("mean", codes.mean(0))
        self.register_buffer("spread", torch.where(spread > 1e-6 * spread.max(), spread, 1))  # some never change
        self.register_buffer("image", images.mean(0))
        self.register_buffer("contrast", (images - self.image).square().mean().sqrt())
        self.enter, inputs, (h, w) = nn.Identity(), codes.shape[1], images.shape[2:]
        if codes[0].numel() == inputs:
            doublings = max(1, math.ceil(math.log2(max(h, w) / 8)))
            small, inputs = (width, -(-h // 2**doublings), -(-w // 2**doublings)), width
            self.enter = nn.Sequential(
                nn.Flatten(), nn.Linear(codes.shape[1], math.prod(small)), nn.Unflatten(1, small)
            )  # fmt: skip
        else:
            doublings = max(0, *(math.ceil(math.log2(to / at)) for to, at in zip((h, w), codes.shape[2:])))
        self.linear = nn.ConvTranspose2d(inputs, len(self.image), 2**doublings, 2**doublings)
        nn.init.zeros_(self.linear.weight), nn.init.zeros_(self.linear.bias)  # torch's own would drown the other part
        up = lambda: (nn.ReLU(), nn.ConvTranspose2d(width, width, 4, 2, padding=1))
        ups = [layer for _ in range(doublings) for layer in up()]
        first, last = nn.Conv2d(inputs, width, 3, padding=1), nn.Conv2d(width, len(self.image), 3, padding=1)
        self.convolutional = nn.Sequential(first, *ups, nn.ReLU(), last)

    def forward(self, codes: Codes) -> Images:
        x = self.enter((codes.to(self.mean) - self.mean) / self.spread)
        x = F.adaptive_avg_pool2d(self.linear(x) + self.convolutional(x), self.image.shape[1:])
        x = self.image + self.contrast * x
        return x if self.training else x.clamp(0, 1)


def train(
    codes: Float[Tensor, "m *code"],
    images: Images,
    seed: int,
    *,
    steps: int = 300,
    batch: int = 64,
    lr: float = 1e-2,
    width: int = 16,
) -> Decoder:
    """A decoder from codes to the images they are of, in evaluation mode, on the codes' device; call it on codes.

    Mean squared error, Adam with cosine decay to zero, batches drawn with replacement. The defaults are for digits;
    larger images want more steps and more width. The seed alone decides (on a CPU with one number of threads: the same
    bits); torch's global generator is left as it was. Works in float32: a decoder is learned, not measured.

    Args:
        codes: (n, d), or feature maps (n, k, i, j).
        images: (n, c, h, w) in [0, 1], on the same device.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite or images outside [0, 1], training without
            steps, batches, width or a learning rate.
    """
    _checked(codes, images)
    for name, value in (("steps", steps), ("batch", batch), ("lr", lr), ("width", width)):
        if not value > 0:
            raise ValueError(f"{name}: {value}, expected more than 0")
    codes, images = codes.detach().float(), images.detach().float()
    with torch.random.fork_rng(devices=[]):  # torch initialises from its global generator, which is left as it was
        torch.default_generator.manual_seed(stream(seed, "decoder").initial_seed())
        decoder = Decoder(codes, images, width).to(codes.device)
    optimiser = torch.optim.Adam(decoder.parameters(), lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    chosen = torch.randint(len(codes), (steps, batch), generator=stream(seed, "decoder batches")).to(codes.device)
    with torch.enable_grad():
        for some in chosen:
            loss = F.mse_loss(decoder(codes[some]), images[some])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return decoder.eval().requires_grad_(False)


def read(
    model: nn.Module, point: Point, images: Images, seen: Float[Tensor, "m c h w"], seed: int, **how: int | float
) -> Images:
    """What a decoder, trained on the images that it has `seen`, reads in the point's codes of other images.

    `how` is passed on to `train`. Codes that are neither rows nor maps, as a transformer's tokens, count as rows.
    """
    reader = train(_readable(collect(model, seen, [point])[point]), seen, seed, **how)
    return reader(_readable(record(model, images, [point])[point]))


def _readable(codes: Tensor) -> Tensor:
    return codes if codes.ndim == 4 else codes.flatten(1)


def _checked(codes: Tensor, images: Tensor) -> None:
    if codes.ndim not in (2, 4) or not codes.numel() or not codes.isfinite().all():
        raise ValueError(f"codes: shape {tuple(codes.shape)}, expected finite vectors (n, d) or maps (n, k, i, j)")
    if len(images) != len(codes):
        raise ValueError(f"images: {len(images)}, expected one for each of the {len(codes)} codes")
    if not ((images >= 0) & (images <= 1)).all():
        raise ValueError(f"images: from {images.min():.3g} to {images.max():.3g}, expected pixels in [0, 1]")
