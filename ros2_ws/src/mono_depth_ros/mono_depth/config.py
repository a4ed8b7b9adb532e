"""Every tunable value of the library: default, unit, limits. The only place that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, get_type_hints

from mono_depth.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")


class Param(NamedTuple):
    """What a user needs to know about one value. Becomes its ROS ParameterDescriptor."""

    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False  # True: takes effect on the next frame; False: fixed while configured
    reloads: bool = False  # True: while active, the model is loaded anew with it


@dataclass(frozen=True, kw_only=True)
class ScaleConfig:
    """How the output of the network becomes metres."""

    source: Annotated[
        str,
        Param(
            "Where metres come from: auto = the most certain of all that has data, the model "
            "included if it is metric; model = a model of metres, as it is; model_focal = one "
            "with a focal rule, or with scale.reference_focal; fixed = scale.factor and "
            "scale.shift; sparse_points (sensor_depth where there are none), ground_plane, "
            "odometry = measured by that alone; none = relative/image only.",
            choices=(
                "auto",
                "model",
                "model_focal",
                "fixed",
                "sparse_points",
                "ground_plane",
                "odometry",
                "none",
            ),
            live=True,
        ),
    ] = "auto"
    factor: Annotated[
        float,
        Param(
            "With source fixed: factor on what the model makes of the image alone; it is then "
            "given nothing else. Models of depth: "
            "depth = factor * output + shift [m]. Models of inverse depth: "
            "1 / depth = factor * output + shift [1/m].",
            1e-9,
            1e9,
            live=True,
        ),
    ] = 1.0
    shift: Annotated[
        float, Param("With source fixed: shift, see scale.factor.", -1e3, 1e3, live=True)
    ] = 0.0
    reference_focal: Annotated[
        float,
        Param(
            "Focal length, in widths of the image, of the camera that a model of metres was "
            "trained with: depth is multiplied by (fx / width) / reference_focal. 0 = unknown, no "
            "correction. Models with a focal rule of their own ignore it.",
            0.0,
            100.0,
            live=True,
        ),
    ] = 0.0
    camera_height_m: Annotated[
        float,
        Param(
            "Height of the camera's optical centre over the ground [m]; 0 = from TF if it is "
            "known there, else no scale from the ground plane.",
            0.0,
            100.0,
            live=True,
        ),
    ] = 0.0
    min_points: Annotated[
        int,
        Param("Fewer points of one frame that agree on a scale are refused.", 4, 1000, live=True),
    ] = 5
    max_correction: Annotated[
        float,
        Param(
            "Models of metres: a measured scale that differs by more than this factor is refused.",
            1.01,
            1000.0,
            live=True,
        ),
    ] = 4.0
    valid_sigma: Annotated[
        float,
        Param(
            "Relative deviation above which a measured scale is degraded.", 0.001, 10.0, live=True
        ),
    ] = 0.05
    lost_sigma: Annotated[
        float,
        Param("Relative deviation above which a measured scale is lost.", 0.001, 10.0, live=True),
    ] = 0.2
    stale_s: Annotated[
        float,
        Param(
            "A scale measured longer ago than this, and than two frames of the network, is "
            "degraded [s].",
            0.01,
            3600.0,
            live=True,
        ),
    ] = 2.0
    lost_s: Annotated[
        float,
        Param(
            "A scale measured longer ago than this, and than six frames of the network, is lost "
            "[s].",
            0.01,
            3600.0,
            live=True,
        ),
    ] = 10.0
    on_loss: Annotated[
        str,
        Param(
            "When a measured scale is lost: hold = go on with the last scale, so that depth does "
            "not jump by metres, with the state lost; model = metres of the model if it is "
            "metric, else relative; relative = relative/image only; stop = no output.",
            choices=("hold", "model", "relative", "stop"),
            live=True,
        ),
    ] = "hold"
    keep: Annotated[
        bool,
        Param(
            "Keep the scale that was measured last beside the weights. The next run of the same "
            "network and camera holds it until a source is trusted, so that a robot can begin to "
            "move: obstacles may be marked by it, no space be cleared.",
            live=True,
        ),
    ] = True

    def __post_init__(self) -> None:
        check_limits(self)
        for low, high in (("valid_sigma", "lost_sigma"), ("stale_s", "lost_s")):
            if getattr(self, low) > getattr(self, high):
                raise ConfigError(
                    f"scale.{low} = {getattr(self, low)} must not be above "
                    f"scale.{high} = {getattr(self, high)}"
                )


@dataclass(frozen=True, kw_only=True)
class CloudConfig:
    """How depth becomes a point cloud."""

    rgb: Annotated[bool, Param("Give every point its colour (xyzrgb).", live=True)] = True
    stride: Annotated[int, Param("Take every n-th pixel of every n-th row.", 1, 16, live=True)] = 1
    min_depth_m: Annotated[
        float, Param("Points nearer than this become NaN [m].", 0.0, 1000.0, live=True)
    ] = 0.1
    max_depth_m: Annotated[
        float, Param("Points farther than this become NaN [m].", 0.1, 1000.0, live=True)
    ] = 50.0
    max_jump: Annotated[
        float,
        Param(
            "A pixel that is farther than a direct neighbour by more than this fraction may float "
            "between two surfaces; its point becomes NaN. 0 keeps all.",
            0.0,
            10.0,
            live=True,
        ),
    ] = 0.1

    def __post_init__(self) -> None:
        check_limits(self)
        if self.min_depth_m >= self.max_depth_m:
            raise ConfigError(
                f"cloud.min_depth_m = {self.min_depth_m} must be below "
                f"cloud.max_depth_m = {self.max_depth_m}"
            )


@dataclass(frozen=True, kw_only=True)
class ScanConfig:
    """What of the depth is an obstacle: for the scan and for the clouds of a costmap."""

    min_height_m: Annotated[
        float,
        Param(
            "Lower things are ground: least height over it of an obstacle [m].", 0.0, 5.0, live=True
        ),
    ] = 0.08
    max_height_m: Annotated[
        float,
        Param(
            "Higher things are passed under: height over the ground that the robot needs [m].",
            0.05,
            20.0,
            live=True,
        ),
    ] = 0.6
    tilt_tolerance: Annotated[
        float,
        Param(
            "By this the least height of an obstacle rises with distance [m per m]: errors of "
            "tilt and ground grow so.",
            0.0,
            0.2,
            live=True,
        ),
    ] = 0.02
    range_min_m: Annotated[
        float,
        Param(
            "What is nearer is given at this range [m]; it is never left out.", 0.01, 5.0, live=True
        ),
    ] = 0.15
    range_max_m: Annotated[
        float,
        Param(
            "Obstacles are looked for up to here [m]. Must be larger than obstacle_max_range of a "
            "costmap, which else marks what is clear.",
            0.5,
            30.0,
            live=True,
        ),
    ] = 6.0
    angle_step_deg: Annotated[
        float,
        Param(
            "Least angle between two bearings of the scan [deg]; a coarse map of depth has wider "
            "ones.",
            0.1,
            5.0,
            live=True,
        ),
    ] = 0.5
    nearest_count: Annotated[
        int,
        Param(
            "Pixels at about one range that make an obstacle; fewer are noise. Doubtful pixels "
            "count a quarter.",
            1,
            100,
            live=True,
        ),
    ] = 3
    min_confidence: Annotated[
        float,
        Param(
            "Pixels of less confidence are doubtful: they clear nothing and mark only as many.",
            0.0,
            1.0,
            live=True,
        ),
    ] = 0.1
    max_jump: Annotated[
        float,
        Param(
            "A pixel that differs from all neighbours by more than this fraction is noise; one "
            "farther than a neighbour by more may float between two surfaces, and is doubtful.",
            0.01,
            10.0,
            live=True,
        ),
    ] = 0.1
    drop_m: Annotated[
        float,
        Param(
            "The edge of ground that falls off by more than this is an obstacle [m]; 0 = drop-offs "
            "are not looked for.",
            0.0,
            5.0,
            live=True,
        ),
    ] = 0.15
    max_unknown: Annotated[
        float,
        Param(
            "Scan and obstacles stop while a larger share of the view they need has no depth.",
            0.0,
            1.0,
            live=True,
        ),
    ] = 0.5
    corridor_width_m: Annotated[
        float,
        Param(
            "Width of the strip ahead of the camera that the robot drives through [m]: scan and "
            "obstacles stop while depth is unknown anywhere in it. 0 = do not look.",
            0.0,
            10.0,
            live=True,
        ),
    ] = 0.7
    corridor_length_m: Annotated[
        float,
        Param("Length of this strip [m]; not less than the way to stop.", 0.1, 30.0, live=True),
    ] = 1.5
    voxel_m: Annotated[
        float,
        Param(
            "points_obstacles has one point for each cube of this size [m].", 0.01, 1.0, live=True
        ),
    ] = 0.05
    max_points: Annotated[
        int, Param("Most points of either cloud; the nearest are kept.", 100, 20_000, live=True)
    ] = 20_000

    def __post_init__(self) -> None:
        check_limits(self)
        for low, high in (("min_height_m", "max_height_m"), ("range_min_m", "range_max_m")):
            if getattr(self, low) >= getattr(self, high):
                raise ConfigError(
                    f"scan.{low} = {getattr(self, low)} must be below "
                    f"scan.{high} = {getattr(self, high)}"
                )


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How the stream of stamps is judged."""

    reset_gap_s: Annotated[
        float,
        Param(
            "Forget the past after a gap longer than this between the stamps of two images that "
            "came in a row, whether or not the network was free to take them [s].",
            0.05,
            60.0,
            live=True,
        ),
    ] = 1.0
    late_s: Annotated[
        float,
        Param(
            "A stamp that goes back by at most this is a late frame and is skipped, unless three "
            "in a row do; one that goes back farther is a jump of the clock (a bag that loops) and "
            "starts over [s].",
            0.0,
            60.0,
            live=True,
        ),
    ] = 0.5

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class TemporalConfig:
    """How depth is kept calm over time."""

    mode: Annotated[
        str,
        Param(
            "Where the camera's motion comes from: pose = odometry at the image stamps, flow = the "
            "picture itself, static = the camera stands still, none = every frame by itself, "
            "auto = pose where odometry reaches the stamp, else flow.",
            choices=("auto", "pose", "flow", "static", "none"),
            live=True,
        ),
    ] = "auto"
    memory_frames: Annotated[
        int,
        Param(
            "Frames that a depth value stands for at most; more is calmer and slower to follow.",
            1,
            100,
            live=True,
        ),
    ] = 20
    scale_time_constant_s: Annotated[
        float,
        Param("Time over which the scale of the network is averaged [s].", 0.01, 100.0, live=True),
    ] = 3.0
    max_gap_s: Annotated[
        float,
        Param(
            "Start over when images that came in a row are farther apart than this; those that a "
            "slow network did not take count [s].",
            0.01,
            10.0,
            live=True,
        ),
    ] = 0.5

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class MotionConfig:
    """How the way of the camera makes points of known depth."""

    mode: Annotated[
        str,
        Param(
            "auto = with odometry, corners that a moving camera sees from several places become "
            "points in metres that correct the depth of any model; what has no such points of its "
            "own gets nearer, never farther. Sparse points and sensor depth go first. off = they "
            "do not, the default.",
            choices=("auto", "off"),
            live=True,
        ),
    ] = "off"

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class RefineConfig:
    """How maps of the network become maps of the image's size."""

    mode: Annotated[
        str,
        Param(
            "guided = edges of depth follow those of the picture; none = bilinear interpolation.",
            choices=("none", "guided"),
            live=True,
        ),
    ] = "none"

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class CompletionConfig:
    """What a model that completes depth, or is guided by it, is given. Others ignore it."""

    source: Annotated[
        str,
        Param(
            "Depth that is completed: auto = sensor_depth if there is any, else sparse_points if "
            "there are enough, else guess; guess = depth of completion.guess_model without its "
            "doubtful pixels; for nano, the image alone.",
            choices=("auto", "sensor_depth", "sparse_points", "guess"),
            live=True,
        ),
    ] = "auto"
    min_points: Annotated[
        int,
        Param(
            "Sensor depth or sparse points with fewer values than this are not completed; nano "
            "uses any number.",
            1,
            1000000,
            live=True,
        ),
    ] = 100
    guess_model: Annotated[
        str,
        Param("Entry of models/registry.yaml that makes the first guess, in metres.", reloads=True),
    ] = "nano"
    max_jump: Annotated[
        float,
        Param(
            "Neighbours of the first guess whose depth differs by more than this fraction are "
            "doubtful: they lie on an edge.",
            0.001,
            1000.0,
        ),
    ] = 0.1
    min_confidence: Annotated[
        float, Param("Pixels of the first guess with less confidence are doubtful.", 0.0, 1.0)
    ] = 0.2
    level_ground: Annotated[
        bool,
        Param(
            "Tell nano where level ground is when height and gravity of the camera are known: "
            "what looks like ground is then put there, and nothing is shown below it. Turn it off "
            "where the ground drops: stairs, edges of platforms.",
            live=True,
        ),
    ] = True

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """All values of the depth pipeline. ROS names follow the nesting: `scale.factor`."""

    model: Annotated[
        str,
        Param(
            "Entry of models/registry.yaml, or auto = the best one installed, else nano.",
            reloads=True,
        ),
    ] = "auto"
    device: Annotated[
        str,
        Param(
            "auto = the first CUDA GPU if there is one, else cpu; or cpu, cuda, cuda:1.",
            reloads=True,
        ),
    ] = "auto"
    engine: Annotated[
        str,
        Param(
            "What runs the network: torch; openvino on the CPU; onnxruntime on the CPU or, with "
            "CUDA and TensorRT, on a GPU; auto = the fastest one installed that says the same as "
            "torch in fp32 does.",
            choices=("auto", "torch", "openvino", "onnxruntime"),
            reloads=True,
        ),
    ] = "auto"
    precision: Annotated[
        str,
        Param(
            "Numbers the network computes in; auto = the fastest that loses no accuracy to speak "
            "of. int8 does, and needs a file that `mono-depth engine build` makes.",
            choices=("auto", "fp32", "bf16", "fp16", "int8"),
            reloads=True,
        ),
    ] = "auto"
    input_size: Annotated[
        int,
        Param(
            "Short side of the network's input [pixels]; 0 = the model's own. "
            "Smaller is faster and coarser.",
            0,
            4096,
            reloads=True,
        ),
    ] = 0
    threads: Annotated[int, Param("CPU threads of the network; 0 = one for each core.", 0, 256)] = 0
    registry: Annotated[
        str,
        Param("File of further registry entries, for your own models; empty = none.", reloads=True),
    ] = ""
    weights_dir: Annotated[
        str,
        Param(
            "Folder of downloaded weights; empty = $MONO_DEPTH_WEIGHTS or ~/.cache/mono_depth.",
            reloads=True,
        ),
    ] = ""
    allow_noncommercial: Annotated[
        bool, Param("Accept weights whose licence forbids commercial use.", reloads=True)
    ] = False
    min_depth_m: Annotated[
        float, Param("Depth nearer than this becomes NaN [m].", 0.001, 1000.0, live=True)
    ] = 0.05
    max_depth_m: Annotated[
        float,
        Param("Depth farther than this is out of range [m].", 0.1, 1000.0, live=True),
    ] = 50.0
    out_of_range: Annotated[
        str,
        Param(
            "Value of depth pixels beyond max_depth_m. inf follows REP 117; nan is the default, "
            "because ORB-SLAM3 takes +Inf for a point.",
            choices=("nan", "inf"),
            live=True,
        ),
    ] = "nan"
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    completion: CompletionConfig = field(default_factory=CompletionConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    temporal: TemporalConfig = field(default_factory=TemporalConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)

    def __post_init__(self) -> None:
        check_limits(self)
        if self.min_depth_m >= self.max_depth_m:
            raise ConfigError(
                f"min_depth_m = {self.min_depth_m} must be below max_depth_m = {self.max_depth_m}"
            )


@cache  # to read annotations takes longer than all else that a change of a value needs
def declared(config_type: type[DataclassInstance]) -> Mapping[str, Param]:
    """Map each scalar field of a config dataclass to its `Param`."""
    hints = get_type_hints(config_type, include_extras=True).items()
    return {name: hint.__metadata__[0] for name, hint in hints if hasattr(hint, "__metadata__")}


def check_limits(config: DataclassInstance) -> None:
    """Raise `ConfigError` if a value lies outside the limits of its `Param`."""
    for name, param in declared(type(config)).items():
        value = getattr(config, name)
        if param.choices and value not in param.choices:
            raise ConfigError(f"{name} = {value!r} is not one of {', '.join(param.choices)}")
        too_small = param.minimum is not None and not value >= param.minimum
        too_large = param.maximum is not None and not value <= param.maximum
        if too_small or too_large:
            raise ConfigError(f"{name} = {value!r} is outside [{param.minimum}, {param.maximum}]")


def flatten(config: DataclassInstance, prefix: str = "") -> dict[str, Any]:
    """Return `{"scale.factor": 1.0, ...}`, the form ROS parameters have."""
    flat: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value) and not isinstance(value, type):
            flat |= flatten(value, f"{prefix}{item.name}.")
        else:
            flat[prefix + item.name] = value
    return flat


def params(config: DataclassInstance, prefix: str = "") -> dict[str, Param]:
    """Return the `Param` of every value of `flatten(config)`."""
    table: dict[str, Param] = {}
    own = declared(type(config))
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value) and not isinstance(value, type):
            table |= params(value, f"{prefix}{item.name}.")
        else:
            table[prefix + item.name] = own[item.name]
    return table


def updated(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return `config` with dotted names replaced, e.g. `{"scale.factor": 2.0}`.

    Raises:
        ConfigError: a name is unknown or a value is not allowed.
    """
    unknown = changes.keys() - flatten(config).keys()
    if unknown:
        raise ConfigError(f"unknown parameter {', '.join(sorted(unknown))}")
    return _updated(config, changes, "")


def _updated(config: Config, changes: Mapping[str, Any], prefix: str) -> Config:
    chosen: dict[str, Any] = {}
    for item in fields(config):
        value, name = getattr(config, item.name), prefix + item.name
        if is_dataclass(value) and not isinstance(value, type):
            chosen[item.name] = _updated(value, changes, f"{name}.")
        elif name in changes:
            chosen[item.name] = changes[name]
    return replace(config, **chosen)
