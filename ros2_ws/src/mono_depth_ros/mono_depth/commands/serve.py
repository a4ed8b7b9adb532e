"""The command `mono-depth serve`: depth as a page and an HTTP interface."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.commands.options import add_model_options, model_config
from mono_depth.errors import ConfigError
from mono_depth.web.guard import LOOPBACK

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_TOKEN_VARIABLE = "MONO_DEPTH_TOKEN"


def add_command(commands: Subparsers) -> None:
    """Add `serve`."""
    text = "a page and an HTTP interface for depth of images; nothing leaves this machine"
    parser = commands.add_parser(
        "serve",
        help=text,
        description=f"{text}. Needs the extra web.",
    )
    parser.set_defaults(handler=_serve)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; any but one of this machine alone needs a token "
        "(default: 127.0.0.1)",
    )
    parser.add_argument("--port", type=int, default=8008, help="0 = any free one (default: 8008)")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"whose first line clients must show; else ${_TOKEN_VARIABLE}; else, where one is "
        "needed, a new one that is printed",
    )
    parser.add_argument(
        "--max-megabytes", type=float, default=32.0, help="of an upload (default: 32)"
    )
    parser.add_argument(
        "--max-megapixels", type=float, default=33.5, help="of an image (default: 33.5)"
    )
    parser.add_argument(
        "--queue", type=int, default=8, metavar="N", help="images that may wait (default: 8)"
    )
    parser.add_argument(
        "--together",
        type=int,
        default=0,
        metavar="N",
        help="waiting images of one size that the network takes at once, at most (default: 4 on a "
        "GPU, 1 on a CPU, which gains nothing by it)",
    )
    parser.add_argument(
        "--jobs-dir",
        default="",
        metavar="FOLDER",
        help="for uploads and results of jobs, which are removed after an hour and at the end "
        "(default: that of the system for temporary files)",
    )
    parser.add_argument(
        "--jobs-gigabytes", type=float, default=8.0, help="of the disk for all jobs (default: 8)"
    )
    add_model_options(parser)
    parser.set_defaults(engine="torch")  # the others compare themselves anew for each image size


def _serve(args: argparse.Namespace) -> int:
    from mono_depth.web.jobs.job_limits import JobLimits
    from mono_depth.web.limits import ServerLimits
    from mono_depth.web.server import serve

    limits = replace(
        ServerLimits(),
        max_bytes=int(args.max_megabytes * (1 << 20)),
        max_pixels=int(args.max_megapixels * 1e6),
        waiting=args.queue,
        together=args.together,
        jobs=JobLimits(folder=args.jobs_dir, disk_bytes=int(args.jobs_gigabytes * (1 << 30))),
    )
    if limits.jobs.disk_bytes < 1 or limits.together < 0:
        raise ConfigError("--jobs-gigabytes must be above 0, --together 0 or more")
    if min(limits.max_bytes, limits.max_pixels) < 1 or limits.waiting < 0:
        raise ConfigError("--max-megabytes and --max-megapixels must be above 0, --queue 0 or more")
    token = _token(args)

    def told(address: str, _: object) -> None:
        page = f"{address}/?token={token}" if token else address
        print(f"page: {page}\nAPI: {address}/docs", flush=True)

    serve(model_config(args), limits, host=args.host, port=args.port, token=token, on_start=told)
    return 0


def _token(args: argparse.Namespace) -> str:
    """Return what clients must show, "" = nothing."""
    if args.token_file is not None:
        try:
            lines = args.token_file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(f"cannot read {args.token_file}: {error.strerror}") from None
        token = lines[0].strip() if lines else ""
    else:
        token = os.environ.get(_TOKEN_VARIABLE, "").strip()
        if not token and args.host not in LOOPBACK:
            token = secrets.token_urlsafe(24)
            print(f"token: {token}", file=sys.stderr)
            return token
        if not token:
            return ""
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,}", token):
        raise ConfigError("a token has 16 or more of the characters A-Z a-z 0-9 - _")
    return token
