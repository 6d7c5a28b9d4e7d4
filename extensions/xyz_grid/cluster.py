"""The cells of a job on a Ray cluster: one actor for each device, each with an engine of its own.

What an actor returns is saved by this process as it comes, like the texts of its own engine. Cells of an
actor that dies are given to another one. Needs the package `ray`, which is optional.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from webui import App, Cell, Event, Failed, Finished, Result

ROOT = Path(__file__).resolve().parents[2]
LOOK = 0.2  # seconds between two looks at whether the job was cancelled
DEATHS = 3  # of actors that had a cell, after which it fails
FEW = 4  # parts of the cells for each actor, so that none waits long for the last one

Ended = tuple[str, str | None, str | None]  # cell, its result as JSON, or why it failed


class Cluster:
    """Actors on the devices of a Ray cluster.

    address  of the cluster; "auto": the one of RAY_ADDRESS or of this machine, or else a new one here

    ValueError if there is no Ray or no cluster.
    """

    def __init__(self, app: App, address: str):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError:
            raise ValueError("Ray is not installed: pip install 'text-diffusion-webui[ray]'.") from None
        environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
        try:
            self._ray.init(
                address=None if address == "auto" else address,
                include_dashboard=False,
                log_to_driver=False,
                runtime_env={"env_vars": environment},
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ValueError(f"There is no Ray cluster at {address}: {error}") from None
        cloudpickle = importlib.import_module("ray.cloudpickle")
        cloudpickle.register_pickle_by_value(
            sys.modules[__name__]
        )  # workers cannot import an extension by name
        self._app, self._settings = app, app.settings.model_dump(mode="json")
        have = self._ray.cluster_resources()
        gpus = int(have.get("GPU", 0))
        cpus = max(1, int(have.get("CPU", 1)))
        threads = min(app.settings.threads or 1, cpus)
        self._needs = {"num_gpus": 1} if gpus else {"num_cpus": threads}
        self._actors = [self._new() for _ in range(gpus or cpus // threads)]
        try:
            pids = self._ray.get([actor.pid.remote() for actor in self._actors])
        except self._ray.exceptions.RayError as error:
            raise ValueError(f"The Ray actors do not start: {error}") from None
        processes = ", ".join(map(str, pids))
        print(f"Ray: {len(self._actors)} actors, processes {processes}.", file=sys.stderr, flush=True)

    def generate(
        self, cells: Sequence[Cell], job: str, cancelled: Callable[[], bool], report: Callable[[Event], None]
    ) -> Iterator[Event]:
        """As `Engine.generate`, on all actors."""
        ray = self._ray
        known = {cell.id: cell for cell in cells}
        parts, idle = list(self._parts(cells)), list(self._actors)
        deaths: dict[str, int] = {}
        running: dict[Any, tuple[Any, list[Cell]]] = {}
        while parts or running:
            if cancelled():
                self._replace_all()
                return
            while parts and idle:
                actor, part = idle.pop(), parts.pop(0)
                sent = [(cell.id, cell.request.model_dump_json(), cell.axes) for cell in part]
                running[actor.generate.remote(sent, job)] = actor, part
            ready, _ = ray.wait(list(running), timeout=LOOK)
            for one in ready:
                actor, part = running.pop(one)
                try:
                    ended: list[Ended] = ray.get(one)
                except ray.exceptions.RayActorError:
                    self._actors.remove(actor)
                    self._actors.append(fresh := self._new())
                    idle.append(fresh)
                    for cell in part:
                        deaths[cell.id] = deaths.get(cell.id, 0) + 1
                    dead = [cell for cell in part if deaths[cell.id] >= DEATHS]
                    yield from (Failed(cell.id, "Its Ray actor died again and again.") for cell in dead)
                    parts[:0] = [[cell] for cell in part if cell not in dead]
                    continue
                except ray.exceptions.RayTaskError as error:
                    yield from (Failed(cell.id, f"On a Ray actor: {error.cause}") for cell in part)
                    idle.append(actor)
                    continue
                idle.append(actor)
                for name, result, error in ended:
                    if result is None:
                        yield Failed(name, error or "It has no result.")
                    else:
                        yield Finished(self._read(result, known[name]), name)

    def close(self) -> None:
        """Ends the actors, and the cluster if it was started here."""
        self._ray.shutdown()

    def _parts(self, cells: Sequence[Cell]) -> Iterator[list[Cell]]:
        """The cells in parts that are given out, those of a checkpoint together."""
        size = max(1, min(64, -(-len(cells) // (FEW * len(self._actors)))))
        groups: dict[str | None, list[Cell]] = {}
        for cell in cells:
            groups.setdefault(cell.request.model, []).append(cell)
        for group in groups.values():
            yield from (group[i : i + size] for i in range(0, len(group), size))

    def _read(self, text: str, cell: Cell) -> Result:
        data = json.loads(text)
        request = self._app.Request.model_validate_json(json.dumps(data["request"]))
        return Result.model_validate({**data, "request": request, "axes": cell.axes})

    def _new(self) -> Any:
        return self._ray.remote(Worker).options(**self._needs).remote(self._settings)

    def _replace_all(self) -> None:
        """Ends what the actors do."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = [self._new() for _ in self._actors]


class Worker:
    """In a process of Ray: a program of its own that saves nothing."""

    def __init__(self, settings: dict[str, Any]):
        from webui import App, Settings

        self._app = App(Settings(**settings))

    def pid(self) -> int:
        return os.getpid()

    def generate(self, sent: list[tuple[str, str, Any]], job: str) -> list[Ended]:
        """Each cell's result as JSON, or why it failed."""
        from webui import Cell, Failed, Finished

        model = self._app.Request
        cells = [Cell(name, model.model_validate_json(text), axes) for name, text, axes in sent]
        ended: list[Ended] = []
        for event in self._app.engine.generate(cells, job, lambda: False):
            if isinstance(event, Failed):
                ended.append((event.cell, None, event.sentence))
            elif isinstance(event, Finished) and event.cell is not None:
                ended.append((event.cell, event.result.model_dump_json(), None))
        return ended
