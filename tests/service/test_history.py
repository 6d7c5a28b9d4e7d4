"""The history: files are the truth, the index agrees with them whatever happens to either."""

from __future__ import annotations

import datetime
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from webui.core.request import Request
from webui.core.result import Provenance, Result, Statistics, new_id
from webui.extension.registry import Registry
from webui.service.history.index import Query
from webui.service.history.store import History, bound
from webui.settings import ROOT

MANY = 5_000
WORDS = "fox lamp forest dragon castle cake river night bread song Straße ΣΊΣΥΦΟΣ 猫 100% under_score it's".split()


@pytest.fixture(scope="module")
def composed() -> type[Request]:
    return Registry(ROOT / "extensions").Request


@pytest.fixture
def history(tmp_path, composed) -> History:
    return History(tmp_path / "history", composed)


def identity(number: int, seconds: float = 1_700_000_000.0) -> str:
    return f"{int((seconds + number * 600) * 1e6):016x}{number % 65536:04x}"


def result(
    request: Request, text: str = "A fox sat.", id: str | None = None, checkpoint: str = "storyteller"
) -> Result:
    made = Provenance(
        program="1",
        checkpoint=checkpoint,
        fingerprint="f",
        family="LLaDA",
        device="cpu",
        dtype="float32",
        torch="2",
        created="2026-01-01T00:00:00+00:00",
        job="j",
        cell="0",
    )
    costs = Statistics(forwards=4, tokens=8, seconds=1.5)
    return Result(
        id=id or new_id(), text=text, complete=True, request=request, provenance=made, statistics=costs
    )


def found(history: History, **query) -> list[str]:
    return [item["id"] for item in history.find(Query(**query))["items"]]


def folder(history: History) -> Path:
    return history._folder


def agrees(history: History) -> None:
    """The index has exactly what the folders have, and every file is whole."""
    there = {path.stem: json.loads(path.read_text()) for path in folder(history).glob("????-??-??/*.json")}
    items = {item["id"]: item for item in history.list(limit=100_000)}
    assert set(items) == set(there)
    for id, data in there.items():
        assert items[id]["favourite"] == data["favourite"] and items[id]["text"] == data["text"][:300]


# -- many ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory, composed) -> History:
    """Five thousand real files over 35 days, of two checkpoints, every tenth with an extension, every
    hundredth a favourite."""
    made, draw = History(tmp_path_factory.mktemp("many") / "history", composed), random.Random(5)
    stored = json.loads(result(composed(prompt="p", seed=1)).model_dump_json())
    for number in range(MANY):
        stored["text"] = " ".join(draw.choices(WORDS, k=120)) + f" number{number}."
        stored["request"]["prompt"] = f"prompt {number}"
        stored["request"]["guidance"]["scale"] = 2.5 if number % 10 == 0 else None
        stored["provenance"]["checkpoint"] = ("storyteller", "other")[number % 2]
        stored["favourite"] = number % 100 == 0
        path = made._place(identity(number))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**stored, "id": path.stem}))
    return made


def test_paging_gives_every_result_once_and_in_order(many):
    pages, before = [], None
    while page := found(many, limit=499, before=before):
        pages += page
        before = page[-1]
    assert pages == sorted((identity(number) for number in range(MANY)), reverse=True)
    told = many.find(Query(limit=1))
    assert told["total"] == told["all"] == MANY and told["checkpoints"] == {
        "storyteller": MANY // 2,
        "other": MANY // 2,
    }
    assert told["extensions"] == {"guidance": MANY // 10}


FILTERS = {
    "checkpoint": (Query(checkpoint="other"), lambda n: n % 2 == 1),
    "extension": (Query(extension="guidance"), lambda n: n % 10 == 0),
    "favourite": (Query(favourite=True), lambda n: n % 100 == 0),
    "no favourite": (Query(favourite=False), lambda n: n % 100 != 0),
    "dates": (Query(first=identity(100), last=identity(200)), lambda n: 100 <= n < 200),
    "all": (
        Query(
            search="NUMBER4",
            checkpoint="storyteller",
            extension="guidance",
            favourite=True,
            first=identity(400),
        ),
        lambda n: n % 100 == 0 and n >= 400 and str(n)[0] == "4",
    ),
}


@pytest.mark.parametrize("query, wanted", FILTERS.values(), ids=FILTERS)
def test_filters_with_pages(many, query, wanted):
    expected = [identity(number) for number in reversed(range(MANY)) if wanted(number)]
    told = many.find(query)
    assert told["total"] == len(expected) and [item["id"] for item in told["items"]] == expected[:50]
    middle = expected[len(expected) // 2]
    fields = {name: getattr(query, name) for name in query.__dataclass_fields__} | {
        "before": middle,
        "limit": 20,
    }
    assert found(many, **fields) == expected[len(expected) // 2 + 1 :][:20]


PLANS = {
    "": Query(),
    "by_checkpoint": Query(checkpoint="other"),
    "by_favourite": Query(favourite=True),
    "uses": Query(extension="guidance"),
}


@pytest.mark.parametrize("index, query", PLANS.items(), ids=PLANS)
def test_a_page_is_found_by_an_index(many, index, query):
    plan = " ".join(many._index.explain(query))
    assert "INDEX" in plan and index in plan and "TEMP B-TREE FOR ORDER" not in plan, plan


def test_a_word_is_found_wherever_it_stands(many):
    assert (
        found(many, search="number4711.")
        == [identity(4711)]
        == found(many, search="  PROMPT 4711 number4711 ")
    )
    assert found(many, search="4711 number4712") == []
    assert many.find(Query(search="strasse"))["total"] > MANY / 2, "case is folded, not only lowered"
    assert (
        many.find(Query(search="σίσυφοσ"))["total"] > MANY / 2
        and many.find(Query(search="猫"))["total"] > MANY / 2
    )


# -- in step -------------------------------------------------------------------------------------------------


def test_a_saved_result_is_there_at_once(history, composed):
    for number in range(20):
        saved = result(composed(prompt=f"p{number}", guidance={"scale": 2.0}), "word " * 100)
        history.save(saved)
        (item,) = history.list(limit=1)
        assert item == {
            "id": saved.id,
            "text": ("word " * 100)[:300],
            "prompt": f"p{number}",
            "complete": True,
            "error": None,
            "checkpoint": "storyteller",
            "seed": -1,
            "job": "j",
            "created": "2026-01-01T00:00:00+00:00",
            "favourite": False,
            "extensions": ["guidance"],
            "tokens": 8,
            "seconds": 1.5,
        }
        assert history.get(saved.id) == saved
    agrees(history)


def test_files_that_come_and_go_by_hand_are_noticed(history, composed, tmp_path):
    other = History(tmp_path / "other", composed)
    for number in range(30):
        history.save(result(composed(prompt=f"p{number}")))
        agrees(history)
        other.save(result(composed(prompt=f"other {number}")))
    for path in sorted((tmp_path / "other").glob("*/*.json"))[
        :15
    ]:  # copied, also into the folder of another day
        target = folder(history) / ("2020-01-01" if path.stem[-1] < "8" else path.parent.name) / path.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
        agrees(history)
        assert history.get(path.stem).request.prompt.startswith("other")
    for path in sorted(folder(history).glob("????-??-??/*.json"))[::3]:
        path.unlink()
        agrees(history)
    shutil.rmtree(next(folder(history).glob("????-??-??")))
    agrees(history)


def test_a_file_that_was_changed_by_hand_is_seen_after_a_start(history, composed):
    saved = result(composed(prompt="a"))
    history.save(saved)
    assert history.list()[0]["text"] == "A fox sat."
    (path,) = folder(history).glob("*/*.json")
    path.write_text(path.read_text().replace("A fox sat.", "A dog sat down."))
    again = History(folder(history), composed)
    assert again.list()[0]["text"] == "A dog sat down." and found(again, search="dog") == [saved.id]


RUBBISH = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "bytes": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "NaN": b'{"a": NaN}',
    "other JSON": b'{"name": "x"}',
    "types": b'{"text": 1, "complete": 2, "request": {"prompt": 3, "seed": 4}}',
    "no request": b'{"text": "a", "complete": true, "prompt": "", "seed": 1}',
    "infinite": b'{"text": "a", "complete": true, "request": {"prompt": "", "seed": 1}, "statistics": {"seconds": 1e999}}',
}


@pytest.mark.parametrize("content", RUBBISH.values(), ids=RUBBISH)
def test_a_file_that_is_no_result_is_passed_over_until_it_is_one(history, composed, content):
    good, bad = result(composed(prompt="good")), result(composed(prompt="bad"))
    history.save(good)
    path = history._place(bad.id)
    path.write_bytes(content)
    assert found(history) == [good.id] == found(history)
    with pytest.raises(ValueError, match="cannot be read"):
        history.get(bad.id)
    path.write_text(bad.model_dump_json())  # in place: the folder does not change
    assert found(history) == [bad.id, good.id]


def test_a_file_with_half_characters_is_shown(history, composed):
    stored = json.loads(result(composed(prompt="a")).model_dump_json())
    stored["text"], stored["request"]["prompt"] = "half \ud83d text", "\udc00"
    path = history._place(stored["id"])
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(stored))
    assert history.list()[0]["text"] == "half ? text" and found(history, search="half ? text") == [
        stored["id"]
    ]
    assert history.mark(stored["id"], True) and history.list()[0]["favourite"]
    with pytest.raises(ValueError, match="cannot be read"):
        history.get(stored["id"])


def test_other_files_in_the_folder_are_left_alone(history, composed):
    history.save(result(composed()))
    others = [
        "notes.txt",
        "2020-01-01/notes.json",
        "2020-01-01/.hidden",
        "2020-01-01/folder.json/x",
        "extra/" + "0" * 20 + ".json",
    ]
    for name in others:
        (folder(history) / name).parent.mkdir(parents=True, exist_ok=True)
        (folder(history) / name).write_text("mine")
    assert len(history.list()) == 1
    assert history.delete_all() == 1 and history.list() == []
    history.sweep()
    assert all((folder(history) / name).read_text() == "mine" for name in others)


# -- the index -----------------------------------------------------------------------------------------------


def ruined(kind: str, index: Path) -> None:
    size = index.stat().st_size
    match kind:
        case "deleted":
            index.unlink()
        case "empty":
            index.write_bytes(b"")
        case "cut":
            os.truncate(index, size // 2)
        case "text":
            index.write_text("this is no data base " * 1000)
        case "noise":
            with index.open("r+b") as stream:
                for place in range(4096, size, 4096):
                    stream.seek(place)
                    stream.write(random.Random(place).randbytes(2000))
        case "version":
            with sqlite3.connect(index) as base:
                base.execute("PRAGMA user_version = 99")
            base.close()
        case "tables":
            with sqlite3.connect(index) as base:
                base.execute("DROP TABLE uses")
            base.close()
        case "folder":
            index.unlink()
            (index / "x").mkdir(parents=True)
        case "locked":
            index.chmod(0o000)


@pytest.mark.parametrize("while_open", [False, True], ids=["closed", "open"])
@pytest.mark.parametrize("kind", ["deleted", "empty", "cut", "text", "noise", "version", "tables", "folder"])
def test_a_ruined_index_is_made_again(history, composed, kind, while_open):
    ids = []
    for number in range(40):
        saved = result(composed(prompt=f"p{number}", guidance={"scale": 2.0}), f"fox{number} " * 300)
        history.save(saved)
        ids.append(saved.id)
    assert found(history) == ids[::-1]
    if not while_open:
        history._index.close()
        history = History(folder(history), composed)
    ruined(kind, folder(history) / "index.sqlite")
    for _ in range(2):
        assert found(history) == ids[::-1] and found(history, search="FOX17") == [ids[17]]
        assert found(history, extension="guidance", limit=100) == ids[::-1]
        history.save(more := result(composed(), "more"))
        ids.append(more.id)
        assert found(history, search="more") == [more.id]
        assert history.delete(ids.pop())
    again = History(folder(history), composed)
    assert found(again) == ids[::-1]


def test_an_index_that_another_program_holds_is_done_without(history, composed):
    history.save(result(composed()))
    assert len(history.list()) == 1
    history._index.close()
    holder = sqlite3.connect(folder(history) / "index.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    again = History(folder(history), composed)
    assert len(again.list()) == 1
    again.save(result(composed()))
    assert len(again.list()) == 2
    holder.rollback()
    holder.close()


# -- trash ---------------------------------------------------------------------------------------------------


def test_what_is_deleted_can_be_brought_back_also_by_another_start(history, composed):
    saved = result(composed(prompt="a", seed=7))
    history.save(saved)
    assert history.mark(saved.id, True)
    before = history._place(saved.id).read_bytes()
    assert history.delete(saved.id) and history.list() == [] and history.get(saved.id) is None
    assert not history.delete(saved.id) and not history.mark(saved.id, True)
    again = History(folder(history), composed)
    assert again.restore(saved.id) and again.list()[0]["favourite"]
    assert history._place(saved.id).read_bytes() == before and not again.restore(saved.id)
    assert history.list() == again.list()


def test_all_can_be_deleted_and_brought_back(history, composed):
    ids = [result(composed()) for _ in range(20)]
    for saved in ids:
        history.save(saved)
    assert history.delete(ids[0].id)
    assert history.delete_all() == 19 and history.list() == [] and history.delete_all() == 0
    history.save(late := result(composed()))
    again = History(folder(history), composed)
    assert again.restore_all() == 19 and again.restore_all() == 0
    assert found(again) == [late.id, *(saved.id for saved in reversed(ids[1:]))]
    assert again.delete_all() == 20 and again.restore(ids[5].id) and found(again) == [ids[5].id], "one of all"
    assert (
        again.empty() == 20
        and again.restore_all() == 0
        and not again.restore(ids[0].id)
        and found(again) == [ids[5].id]
    )
    assert again.empty() == 0


def test_old_trash_and_left_overs_are_swept(history, composed):
    saved = [result(composed()) for _ in range(4)]
    for one in saved:
        history.save(one)
    day = history._place(saved[0].id).parent
    for name, age in (("killed.json.1.tmp", 7200), ("writing.json.2.tmp", 10)):
        (day / name).write_text("{")
        os.utime(day / name, (time.time() - age,) * 2)
    os.utime(history._place(saved[0].id), (0, 0))  # an old result, deleted just now
    assert history.delete(saved[0].id) and history.delete(saved[1].id)
    trash = folder(history) / "trash"
    os.utime(trash / f"{saved[1].id}.json", (time.time() - 8 * 86400,) * 2)
    assert history.delete_all() == 2
    for path in trash.glob("all-*/*.json"):
        os.utime(path, (time.time() - 8 * 86400,) * 2)
    history.sweep()
    assert [path.name for path in sorted(trash.iterdir())] == [f"{saved[0].id}.json"]
    assert [path.name for path in day.iterdir()] == ["writing.json.2.tmp"] and history.restore(saved[0].id)


def test_a_favourite_keeps_the_rest_of_its_file(history, composed):
    stored = {
        **json.loads(result(composed(prompt="a")).model_dump_json()),
        "of_the_future": {"x": [1, None, "猫"]},
    }
    stored["request"] |= {"lost": {"y": 1}}
    path = history._place(stored["id"])
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(stored))
    assert history.list()[0]["extensions"] == ["lost"] and not history.list()[0]["favourite"]
    for favourite in (True, False, True):
        assert history.mark(stored["id"], favourite) and json.loads(path.read_text()) == stored | {
            "favourite": favourite
        }
        assert history.list()[0]["favourite"] is favourite and found(history, favourite=favourite) == [
            stored["id"]
        ]
    assert History(folder(history), composed).list()[0]["favourite"]
    saved, about = history.entry(stored["id"])
    assert about == {
        "favourite": True,
        "extensions": ["lost"],
        "unknown": ["lost"],
    } and saved.request.unknown == {"lost": {"y": 1}}


def test_what_a_missing_extension_said_is_written_back(history, composed, tmp_path):
    bare = History(folder(history), Registry(tmp_path / "none").Request)
    history.save(first := result(composed(prompt="a", guidance={"scale": 2.5})))
    request = bare.get(first.id).request
    assert request.unknown["guidance"]["scale"] == 2.5
    bare.save(second := result(request.replace(seed=9)))
    back = history.get(second.id).request
    assert back.guidance.scale == 2.5 and back.seed == 9 and back.unknown == {}
    assert "guidance" in bare.list()[1]["extensions"], "the file says so, the extension is not asked"


def test_what_the_preset_filled_in_is_no_use_of_an_extension(history, composed):
    filled = result(composed(guidance={"scale": 2.5})).model_copy(
        update={"preset": ("steps", "guidance.scale")}
    )
    history.save(filled)
    history.save(result(composed(guidance={"scale": 2.5, "negative_prompt": "rain"})))
    assert [item["extensions"] for item in history.list()] == [["guidance"], []]


# -- hostile -------------------------------------------------------------------------------------------------

SEARCHES = [
    "%",
    "_",
    "100%",
    "under_score",
    "it's",
    '"',
    "'",
    "''; DROP TABLE entries; --",
    "\\",
    "*",
    "a\x00b",
    "\x00",
    "[",
    "NEAR(",
    "-fox",
    "fox OR lamp",
    "\udc00",
    "x" * 100_000,
    "a " * 400,
    "\u202e",
    "🦊",
]


def test_searches_mean_what_they_say(history, composed):
    texts = {
        "plain": "abc",
        "percent": "100% sure",
        "under": "under_score",
        "quote": "it's",
        "nul": "a\x00b c",
        "back": "a\\b",
    }
    ids = {}
    for name, text in texts.items():
        history.save(saved := result(composed(), text))
        ids[name] = saved.id
    for search in SEARCHES:
        words = search.encode("utf-8", "replace").decode().casefold().split()
        expected = {
            ids[name] for name, text in texts.items() if all(word in text.casefold() for word in words)
        }
        assert set(found(history, search=search)) == expected, search[:50]
    assert found(history, search="%") == [ids["percent"]] and found(history, search="_") == [ids["under"]]
    assert found(history, search="a\x00b") == [ids["nul"]]
    for name in ("checkpoint", "extension", "before"):
        for value in SEARCHES[:20]:
            found(history, **{name: value})
    agrees(history)


NAMES = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "0" * 19,
    "0" * 21,
    "0" * 20 + "\n",
    "g" * 20,
    "A" * 20,
    "٠" * 20,
    "%",
    "trash",
    "\x00" * 20,
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_that_are_no_ids_lead_nowhere(history, composed, name):
    history.save(result(composed()))
    assert (
        history.get(name) is None
        and not history.delete(name)
        and not history.mark(name, True)
        and not history.restore(name)
    )
    assert len(history.list()) == 1


@pytest.mark.parametrize("name", ["0" * 20, "f" * 20, "7" * 20])
def test_ids_of_impossible_times(history, composed, name):
    history.save(result(composed(), id=name))
    assert found(history) == [name] and history.get(name).id == name
    assert history.delete(name) and history.restore(name) and found(history) == [name]


def test_days_bound_ids():
    noon = datetime.datetime(2026, 3, 1, 12).astimezone()
    id = f"{int(noon.timestamp() * 1e6):016x}abcd"
    assert bound(datetime.date(2026, 3, 1)) < id < bound(datetime.date(2026, 3, 2))
    assert (
        bound(datetime.date.min)
        <= bound(datetime.date(1969, 12, 31))
        == "0" * 20
        < id
        < bound(datetime.date.max)
    )


# -- rough treatment -----------------------------------------------------------------------------------------

BUSY = """
import pathlib, random, sys
from tests.service.test_history import History, Query, Request, result
history, draw, ids = History(pathlib.Path(sys.argv[1]), Request), random.Random(int(sys.argv[2])), []
while True:
    made = result(Request(prompt="a"), f"text of {len(ids)} " * 2000)
    history.save(made)
    ids.append(made.id)
    action = draw.randrange(6)
    if action == 0: history.delete(ids[-1])
    if action == 1: history.mark(ids[0], draw.random() < 0.5)
    if action == 2: history.restore(draw.choice(ids))
    if action == 3 and draw.random() < 0.1: history.delete_all()
    if action == 4: history.restore_all()
    history.find(Query(search="text"))
    print(len(ids), flush=True)
"""


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_process_leaves_files_and_index_that_agree(tmp_path, composed, seed):
    command = [sys.executable, "-c", BUSY, str(tmp_path / "history"), str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as busy:
        for _ in range(3):
            assert busy.stdout.readline(), "it ended by itself"
        time.sleep(random.Random(seed).random())
        busy.send_signal(signal.SIGKILL)
        made = int(([*busy.stdout] or ["3"])[-1])
    history = History(tmp_path / "history", composed)
    everything = [*folder(history).glob("????-??-??/*.json"), *folder(history).glob("trash/**/*.json")]
    assert made <= len(everything) <= made + 1, "no result is lost, whatever was being done"
    assert all(json.loads(path.read_text())["id"] == path.stem for path in everything)
    agrees(history)
    agrees(History(folder(history), composed))


def test_a_full_disk_loses_nothing_and_the_history_can_still_be_read(history, composed):
    for number in range(5):
        history.save(result(composed(), f"fox {number}"))
    ids = found(history)
    history._index.close()
    (folder(history) / "index.sqlite").unlink()
    again = History(folder(history), composed)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        for one in (history, again):
            with pytest.raises(OSError):
                one.save(result(composed(), "lost"))
            with pytest.raises(OSError):
                one.mark(ids[0], True)
            assert found(one) == ids and found(one, search="FOX 3") == [ids[1]]
            assert one.delete(ids[2]) and len(found(one)) == 4 and one.restore(ids[2])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(folder(history).glob("*/*.tmp"))
    for one in (history, again, History(folder(history), composed)):
        agrees(one)
        one.save(result(composed(), "room again"))
        agrees(one)


def test_a_folder_that_cannot_be_written_can_be_read(history, composed):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    history.save(result(composed()))
    folder(history).chmod(0o555)
    try:
        assert len(History(folder(history), composed).list()) == 1
    finally:
        folder(history).chmod(0o755)


def test_many_threads_at_once(history, composed):
    ids, faults = [], []

    def work(seed: int) -> None:
        draw = random.Random(seed)
        try:
            for number in range(25):
                saved = result(composed(prompt=f"p{seed}"), f"text {number} " * 50)
                history.save(saved)
                ids.append(saved.id)
                for action in draw.sample(range(5), 2):
                    if action == 0:
                        history.delete(draw.choice(ids))
                    elif action == 1:
                        history.restore(draw.choice(ids))
                    elif action == 2:
                        history.mark(draw.choice(ids), draw.random() < 0.5)
                    else:
                        listed = found(history, search="text", limit=1000)
                        assert listed == sorted(set(listed), reverse=True)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    agrees(history)
    for id in ids:
        history.restore(id)
    assert found(history, limit=1000) == sorted(ids, reverse=True)


def test_two_programs_share_a_folder(history, composed):
    other = History(folder(history), composed)
    for number in range(15):
        for one in (history, other):
            one.save(result(composed(), f"n{number}"))
            agrees(history)
            agrees(other)
    assert other.delete(found(history)[0])
    agrees(history)


def test_keeping_none_can_be_switched(history, composed):
    history.keep = False
    history.save(result(composed()))
    assert not folder(history).exists() and history.list() == [] and history.delete_all() == 0
    history.sweep()
    assert not folder(history).exists()
    history.keep = True
    history.save(result(composed()))
    assert len(history.list()) == 1
