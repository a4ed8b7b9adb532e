"""Forwards the library's log to the log of a node."""

from __future__ import annotations

import logging

from rclpy.node import Node


class LogBridge(logging.Handler):
    """Hands records of the `mono_depth` logger to a node's logger while it is open."""

    def __init__(self, node: Node) -> None:
        super().__init__(logging.INFO)
        self._logger = node.get_logger()
        self._source = logging.getLogger("mono_depth")
        self._source.setLevel(logging.INFO)
        self._source.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record of the library with the same severity."""
        text = self.format(record)
        # A line each: rclpy refuses another severity from the same place in the code.
        if record.levelno >= logging.CRITICAL:
            self._logger.fatal(text)
        elif record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)

    def close(self) -> None:
        """Stop forwarding."""
        self._source.removeHandler(self)
        super().close()
