"""Errors of the library. The node catches `MonoDepthError` and nothing wider."""


class MonoDepthError(Exception):
    """Base of every error that `mono_depth` raises on purpose."""


class ConfigError(MonoDepthError):
    """A configuration value is out of range or contradicts another one."""


class FrameError(MonoDepthError):
    """An input frame cannot be used: encoding, size, calibration or buffer length is wrong."""


class ModelError(MonoDepthError):
    """A model cannot be loaded: unknown name, missing, corrupt or unexpected weights."""
