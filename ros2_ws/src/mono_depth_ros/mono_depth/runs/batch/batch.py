"""Gives items to workers until each of them is done or has failed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mono_depth.runs.account import Account
from mono_depth.runs.batch.crew import Crew
from mono_depth.runs.batch.items import Found, Item
from mono_depth.runs.batch.job_table import TABLE_FILE, Job, JobTable, State
from mono_depth.runs.batch.worker import BatchJob, Outcome
from mono_depth.runs.output_folder import ACCOUNT_FILE, OutputFolder, read_account

_MOST_DEATHS = 2  # of workers: the item is what kills them

Progress = Callable[[str, str], None]  # is told the name of each item, and why it failed


def batch(
    found: Found,
    job: BatchJob,
    settings: dict[str, Any],
    make_crew: Callable[[], Crew],
    *,
    workers: int,
    again: bool = False,
    progress: Progress | None = None,
) -> Account:
    """Run all items; those that an earlier call has done stay as they are.

    Args:
        found: the items.
        job: what workers must know.
        settings: all that decides the bytes of the results; an earlier call had the same.
        make_crew: starts the workers, if there is anything to do.
        workers: at a time.
        again: try once more what failed.
        progress: is told after each item.

    Returns:
        The account of the items; that of the frames of each lies in its folder.

    Raises:
        ConfigError: the folder has other settings, or another process works in it.
    """
    with OutputFolder.opened(Path(job.out)) as folder:
        folder.claim(settings)
        table = JobTable(folder.path / TABLE_FILE)
        account = Account(what="items", skipped=dict(found.skipped))
        waiting: deque[Item] = deque()
        for item in found.items:
            if not _is_over(table[item.name], folder.path / item.name, again=again):
                waiting.append(item)
        reused = {item.name for item in found.items} - {item.name for item in waiting}
        if waiting:
            _work(waiting, table, make_crew(), workers, progress or _silent)
        _count(account, found, table, reused)
        folder.write_json(ACCOUNT_FILE, _summary(account, found, table))
    return account


def _silent(name: str, reason: str) -> None:
    """Tell nobody."""


def _is_over(job: Job, folder: Path, *, again: bool) -> bool:
    """Tell whether nothing is to be done for an item."""
    if job.state is State.DONE:
        ended = read_account(folder)
        return ended is not None and not (again and ended["failed"])
    return job.state is State.FAILED and not again


def _work(
    waiting: deque[Item],
    table: JobTable,
    crew: Crew,
    workers: int,
    tell: Progress,
) -> None:
    """Keep workers busy; one that dies is replaced, and its item goes to another one, once."""
    deaths: dict[str, int] = {}
    busy: dict[int, Item] = {}
    try:
        for _ in range(min(workers, len(waiting))):
            _start(crew, crew.hire(), waiting, busy, table)
        while busy:
            worker, outcome = crew.wait()
            item = busy.pop(worker, None)
            if item is None:  # it died with nothing to do
                continue
            deaths[item.name] = deaths.get(item.name, 0) + outcome.has_died
            if outcome.has_died and deaths[item.name] < _MOST_DEATHS:
                waiting.appendleft(item)
            else:
                table.set(item.name, _job_of(outcome, deaths[item.name]))
                tell(item.name, table[item.name].reason)
            if waiting:
                _start(crew, crew.hire() if outcome.has_died else worker, waiting, busy, table)
    finally:
        crew.dismiss()


def _start(
    crew: Crew, worker: int, waiting: deque[Item], busy: dict[int, Item], table: JobTable
) -> None:
    item = waiting.popleft()
    table.set(item.name, Job(state=State.RUNNING))
    busy[worker] = item
    crew.give(worker, item)


def _job_of(outcome: Outcome, deaths: int) -> Job:
    if outcome.account is not None:
        return Job(state=State.DONE, account=outcome.account, deaths=deaths)
    reason = f"{outcome.reason}, {deaths} times" if outcome.has_died else outcome.reason
    return Job(state=State.FAILED, reason=reason, deaths=deaths)


def _count(account: Account, found: Found, table: JobTable, reused: set[str]) -> None:
    for item in found.items:
        job = table[item.name]
        if job.state is State.DONE and job.account is not None:
            account.done += 1
            account.reused += item.name in reused
            failed = len(job.account["failed"])
            if failed:
                account.notes.append(f"{item.name}: {failed} frames failed")
        else:
            account.failed[item.name] = job.reason or job.state.value


def _summary(account: Account, found: Found, table: JobTable) -> dict[str, Any]:
    """Return the account of items and frames, the same whatever was killed meanwhile."""
    frames = {"found": 0, "done": 0, "failed": 0, "skipped": 0}
    for item in found.items:
        told = table[item.name].account or {}
        frames["found"] += told.get("found", 0)
        frames["done"] += told.get("done", 0)
        frames["failed"] += len(told.get("failed", {}))
        frames["skipped"] += len(told.get("skipped", {}))
    return {**account.as_json(), "frames": frames}
