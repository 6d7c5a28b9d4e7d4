"""Checkpoints that are being downloaded: one at a time, in a thread beside the worker's."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from webui.checkpoints.download import Offer, fetch, look
from webui.checkpoints.sources import FOLDER, SOURCES, Source, fetch_source, offer_source
from webui.checkpoints.weights import Stopped
from webui.core.errors import Busy, Forbidden, NotFound, Refusal

KEPT = 20  # downloads that ended and are still listed

State = Literal["running", "done", "failed", "stopped"]


@dataclass(frozen=True)
class Download:
    """One download. `name`: what it is called here; `denoises`: whether it writes texts as it is; `done`:
    the share of bytes that are there; `error`: a sentence, if it failed."""

    id: int
    repository: str
    name: str
    denoises: bool
    size: int
    done: float = 0.0
    state: State = "running"
    error: str | None = None


class Downloads:
    """Any thread may ask.

    models    the models folder: autoregressive checkpoints go into its folder for them
    checkpoints  where the others go
    allowed   whether there may be any: what is downloaded fills the disk of the machine that serves
    changed() is called when a checkpoint has come
    """

    def __init__(
        self, models: Path, checkpoints: Path, allowed: bool, changed: Callable[[], None] = lambda: None
    ):
        self._models, self._checkpoints = models, checkpoints
        self._allowed, self._changed = allowed, changed
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._all: dict[int, Download] = {}
        self._stopping: set[int] = set()

    def all(self) -> list[Download]:
        """Those that run and the last ones that ended, oldest first."""
        with self._lock:
            return list(self._all.values())

    def offer(self, repository: str) -> Offer:
        """What REPOSITORY[@REVISION], or a named source, offers. Refusal; Forbidden if this program downloads
        nothing."""
        if not self._allowed:
            raise Forbidden("The operator of this program has switched off downloads (settings: downloads).")
        source = _source(repository)
        return look(repository) if source is None else offer_source(source)

    def start(self, repository: str, commit: str, size: int) -> Download:
        """Starts downloading what was offered at this commit, with the size that somebody agreed to. Refusal;
        Busy while another one runs."""
        offer = self.offer(repository if _source(repository) else f"{repository}@{commit}")
        if (offer.commit, offer.size) != (commit, size):
            raise Refusal(f"{repository} has changed since its size was shown; look at it again.")
        place = self._checkpoints if offer.denoises else self._models / FOLDER
        if (place / offer.name).exists():
            raise Refusal(f"There is a checkpoint {offer.name} already; remove it first.")
        with self._lock:
            if any(one.state == "running" for one in self._all.values()):
                raise Busy("One checkpoint is downloaded at a time; wait for it, or stop it.")
            one = Download(next(self._numbers), offer.repository, offer.name, offer.denoises, offer.size)
            self._all[one.id] = one
            for number in [*self._all][:-KEPT]:
                del self._all[number]
        threading.Thread(target=self._run, args=(one.id, offer), daemon=True).start()
        return one

    def stop(self, id: int) -> Download:
        """Stops a download; the same one goes on from there later. NotFound."""
        with self._lock:
            if id not in self._all:
                raise NotFound("There is no such download.")
            self._stopping.add(id)
            return self._all[id]

    def _run(self, id: int, offer: Offer) -> None:
        def report(done: float) -> None:
            if id in self._stopping:
                raise Stopped
            self._set(id, done=done)

        try:
            source = _source(offer.repository)
            if source is None:
                fetch(offer, self._checkpoints, report)
            else:
                fetch_source(source, self._models, report=report)
            self._set(id, done=1.0, state="done")
        except Stopped:
            self._set(id, state="stopped")
        except ValueError as error:
            self._set(id, state="failed", error=str(error))
        except OSError as error:
            self._set(id, state="failed", error=f"{offer.name}: {error.strerror or 'it cannot be written'}.")
        except Exception as error:  # of a library: a thread has nobody to tell
            self._set(id, state="failed", error=f"{offer.repository}: {type(error).__name__}.")
        self._changed()

    def _set(self, id: int, **changes) -> None:
        with self._lock:
            if id in self._all:
                self._all[id] = replace(self._all[id], **changes)


def _source(named: str) -> Source | None:
    """The named source that somebody means."""
    return SOURCES.get(named.strip().lower())
