"""The events of a run, from the engine to whoever listens."""

from __future__ import annotations

from dataclasses import dataclass, field

from webui.core.errors import Code, code_of
from webui.core.result import Change, Result


@dataclass(frozen=True)
class Loading:
    """The checkpoint that the job's next texts need is being read; `done` of it, 0 to 1."""

    checkpoint: str
    done: float


@dataclass(frozen=True)
class Preparing:
    """An extension computes something before the next model call, such as an automaton: `done` of at most
    `most`, in a unit that belongs to `stage`."""

    extension: str
    stage: str
    done: float
    most: float


@dataclass(frozen=True)
class Started:
    """A cell's canvas exists: `length` positions, of which `given` are there at the start: text that is never
    changed, or tokens that the sampler may remask."""

    cell: str
    length: int
    steps: int
    given: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Progress:
    """One model call changed these positions of these cells. `step` counts each row's own calls from 1."""

    changes: dict[str, tuple[Change, ...]]
    step: dict[str, int]


@dataclass(frozen=True)
class Finished:
    """A cell is done (`cell` is its id), or, with `cell` None, the whole job."""

    result: Result
    cell: str | None = None


@dataclass(frozen=True)
class Failed:
    """A cell could not be made; `sentence` says why, `code` which kind of error it is. Other cells go on."""

    cell: str
    sentence: str
    code: Code = "invalid"
    cause: BaseException | None = field(default=None, compare=False, repr=False)  # for the terminal

    @classmethod
    def of(cls, cell: str, error: BaseException) -> Failed:
        """The failure of a cell by this error."""
        return cls(cell, str(error), code_of(error), error)


@dataclass(frozen=True)
class Loop:
    """Pass `k` (from 0) of `of` over all cells of the job begins; each pass counts for the same share of its
    progress. `extension` is set by the engine: an extension only yields Loop(k, of)."""

    k: int
    of: int
    extension: str = ""


Event = Loading | Preparing | Started | Progress | Finished | Failed | Loop
