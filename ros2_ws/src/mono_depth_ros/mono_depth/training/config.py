"""What decides the result of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field

from mono_depth.errors import ConfigError

PARTS = ("all", "image", "hints")


@dataclass(frozen=True, kw_only=True)
class HintShares:
    """How often each kind of hint is given."""

    points: float = 0.4  # some pixels
    sensor: float = 0.3  # depth of a camera, with holes; else no depth
    ground: float = 0.6  # height and gravity; independent of depth


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What decides the result of a training run, apart from the speed of the machine."""

    minutes: float = 30.0  # of training, after the pool is filled
    steps: int = 0  # how many, whatever time they take; 0 = for `minutes`
    seed: int = 0
    start_sha256: str = ""  # of the weights it starts from, "" = from nothing
    part: str = "all"  # what learns: the network for images, the one for hints, or both
    trainers: int = 1  # processes that train together
    batch_size: int = 8  # of each of them
    pair_share: float = 0.5  # of the rendered images of a batch, those that are pairs of views
    encoder: int | None = None  # variant of EfficientNet-Lite, None = the project's own encoder
    encoder_sha256: str = ""  # of the published weights it starts from
    encoder_rate: float = 0.1  # of the learning rate
    frozen_stages: int = 1  # of such an encoder, that learn nothing; its norms never do
    fixed_norms: bool = False  # of all of the network for images: it is not made anew
    real_share: float = 0.0  # of a batch that are real images with the depth of a sensor
    held_out: tuple[str, ...] = ()  # places of the real images that are not learned from
    hint_shares: HintShares = field(default_factory=HintShares)
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    warmup_fraction: float = 0.03
    average_decay: float = 0.998  # of the moving average of weights, which is what is kept
    max_gradient_norm: float = 1.0
    bfloat16: bool = False
    render_size: tuple[int, int] = (240, 180)
    # (width, height) of batches and how often each is drawn
    view_sizes: tuple[tuple[int, int], ...] = ((224, 160), (224, 128), (192, 192), (160, 224))
    view_shares: tuple[float, ...] = (0.7, 0.12, 0.1, 0.08)
    early_view_size: tuple[int, int] = (160, 128)  # cheap batches to begin with
    early_fraction: float = 0.4  # of the run
    pool_capacity: int = 8000
    pool_minimum: int = 200

    def __post_init__(self) -> None:
        if self.minutes <= 0.0 or self.batch_size < 2:
            raise ConfigError(f"minutes {self.minutes}, batch size {self.batch_size}: too small")
        if self.trainers < 1:
            raise ConfigError(f"trainers {self.trainers}, expected 1 or more")
        if len(self.view_sizes) != len(self.view_shares):
            raise ConfigError("view_sizes and view_shares differ in length")
        if not 0.0 <= self.real_share <= 0.75:
            raise ConfigError(f"real share {self.real_share}, expected 0 to 0.75")
        if self.part not in PARTS:
            raise ConfigError(f"part {self.part!r}, expected one of {', '.join(PARTS)}")

    @property
    def real_images(self) -> int:
        """Real images in a batch."""
        return round(self.real_share * self.batch_size)

    @property
    def rendered_images(self) -> int:
        """Rendered images in a batch."""
        return self.batch_size - self.real_images

    @property
    def pairs(self) -> int:
        """Pairs of views in a batch, of rendered images."""
        return round(0.5 * self.pair_share * self.rendered_images)

    @property
    def told(self) -> HintShares:
        """How often hints are given: never to a network for images alone."""
        if self.part == "image":
            return HintShares(points=0.0, sensor=0.0, ground=0.0)
        return self.hint_shares
