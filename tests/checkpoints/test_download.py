"""Downloads from a small local server that speaks the Hub's protocol: what is offered, what comes, what goes on
after an interruption, what is refused."""

from __future__ import annotations

import pytest

from tests.hub import COMMIT, Hub, serve_hub
from tests.tiny_checkpoints import llada, write_json
from webui.checkpoints import download
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.weights import Stopped
from webui.settings import Settings

NAME = "lab/tiny-llada"


@pytest.fixture(scope="module")
def serving():
    with serve_hub() as hub:
        yield hub


@pytest.fixture
def hub(serving: Hub, tmp_path, monkeypatch) -> Hub:
    monkeypatch.setenv("HF_ENDPOINT", serving.url)
    serving.asked.clear(), serving.cut.clear(), serving.changed.clear()
    serving.card = {"license": "mit"}
    folder = llada(tmp_path / "served", shards=2)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "consolidated.safetensors").write_bytes(b"the same again")
    (folder / "picture.png").write_bytes(b"no")
    serving.repositories = {NAME: folder}
    return serving


def test_what_is_offered(hub):
    offer = download.look(f"{NAME}@v1")
    names = {file.name for file in offer.files}
    assert offer.commit == COMMIT and offer.license == "mit" and offer.family == "LLaDA"
    assert {"config.json", "tokenizer.json", "model.safetensors.index.json"} < names
    assert not any(name.endswith((".py", ".bin", ".png")) or "consolidated" in name for name in names)
    assert offer.size == sum((hub.repositories[NAME] / name).stat().st_size for name in names)
    assert {path for _, path, _ in hub.asked} == {"config.json"}
    hub.card = {"license": "other", "license_name": "apple-amlr"}
    assert download.look(NAME).license == "apple-amlr"


def test_it_is_downloaded_whole_and_loads(hub, tmp_path):
    shares: list[float] = []
    checkpoints = tmp_path / "models" / "checkpoints"
    folder = download.fetch(download.look(NAME), checkpoints, shares.append)
    assert folder == checkpoints / "tiny-llada" and shares == sorted(shares) and shares[-1] == 1.0
    for file in folder.iterdir():
        assert file.read_bytes() == (hub.repositories[NAME] / file.name).read_bytes()
    assert not list((tmp_path / "models" / download.PARTS).iterdir())
    there = Checkpoints(Settings(models=tmp_path / "models", model="tiny-llada", device="cpu"))
    assert there.load("tiny-llada").description.family == "LLaDA"
    with pytest.raises(ValueError, match="There is a checkpoint tiny-llada already"):
        download.fetch(download.look(NAME), checkpoints)


def test_an_interrupted_download_goes_on(hub, tmp_path):
    """Stopped in the middle of a file: the next try asks for the rest of that file and for no file twice."""
    offer, checkpoints = download.look(NAME), tmp_path / "models" / "checkpoints"
    large = max(offer.files, key=lambda file: file.size).name

    def stop(done: float) -> None:
        if any(path == large for _, path, _ in hub.asked):
            raise Stopped

    with pytest.raises(Stopped):
        download.fetch(offer, checkpoints, stop)
    assert not checkpoints.exists()
    came = {path for method, path, _ in hub.asked if method == "GET"} - {large}
    hub.asked.clear()
    folder = download.fetch(offer, checkpoints)
    again = [path for method, path, _ in hub.asked if method == "GET"]
    assert len(again) == len(set(again)) and not came & set(again) and large in again
    assert (folder / large).read_bytes() == (hub.repositories[NAME] / large).read_bytes()


def test_a_connection_that_breaks_is_resumed_at_its_byte(hub, tmp_path):
    """huggingface_hub writes ten megabytes at a time."""
    served = tmp_path / "large"
    llada(served)
    large = served / "model.safetensors"
    large.write_bytes(bytes(range(256)) * (24 << 12))
    hub.repositories = {NAME: served}
    hub.cut = {large.name: 15_000_000}
    folder = download.fetch(download.look(NAME), tmp_path / "checkpoints")
    assert (folder / large.name).read_bytes() == large.read_bytes()
    (_, first), (_, again) = [(path, at) for how, path, at in hub.asked if (how, path) == ("GET", large.name)]
    assert first == 0 and again == 10 << 20


def test_weights_that_are_not_those_announced_are_refused(hub, tmp_path):
    offer = download.look(NAME)
    large = max(offer.files, key=lambda file: file.size)
    hub.changed = {large.name: b"x" * large.size}
    with pytest.raises(ValueError, match=f"{large.name} of {NAME} did not come as it was announced"):
        download.fetch(offer, tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()


def test_what_cannot_be_downloaded_is_refused(hub, tmp_path, monkeypatch):
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    write_json(pickled / "config.json", {"model_type": "llada"})
    (pickled / "pytorch_model.bin").write_bytes(b"a pickle")
    unknown = llada(tmp_path / "unknown", model_type="gpt9")
    hub.repositories |= {"lab/pickled": pickled, "lab/unknown": unknown}
    for name, sentence in {
        "lab/pickled": "only pickled weights, which are not downloaded",
        "lab/unknown": "of no known family",
        "lab/none": "There is no repository lab/none, or it is private.",
        f"{NAME}@gone": "has no such revision",
        "../etc": "is no repository",
        "a/b/c": "is no repository",
        f"{NAME}@../x": "is no revision",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            download.look(name)
    offer = download.look(NAME)
    with pytest.raises(ValueError, match="cannot be the name of a checkpoint"):
        download.fetch(offer, tmp_path / "checkpoints", name="../other")
    monkeypatch.setattr(download, "SPARE", 1 << 60)
    with pytest.raises(ValueError, match="more on the disk; it has .* free"):
        download.fetch(offer, tmp_path / "checkpoints")


def test_a_checkpoint_in_the_cache_of_huggingface(tmp_path, monkeypatch):
    """Its files are links to blobs; a branch is found by its name, a commit by itself."""
    from webui.cli.folders import model_folder

    repository = tmp_path / "models--lab--tiny"
    snapshot = llada(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, "ascii")
    (repository / "blobs").mkdir()
    for file in list(snapshot.iterdir()):
        blob = repository / "blobs" / file.name
        file.rename(blob)
        file.symlink_to(blob)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    settings = Settings(models=tmp_path / "models", device="cpu")
    for named in ("lab/tiny", f"lab/tiny@{COMMIT}", str(snapshot)):
        assert model_folder(named, settings) == snapshot
    for named in ("lab/none", "lab/tiny@other", "lab/tiny@..", "nothing"):
        assert model_folder(named, settings) is None
    there = Checkpoints(settings)
    name = there.add(snapshot)
    assert there.load(name).description.family == "LLaDA"


def test_the_licence_is_what_the_folder_states(tmp_path):
    """profile.json, the front matter of README.md, what the family is published under."""
    from webui.checkpoints.profile import stated_license

    root = tmp_path / "models" / "checkpoints"
    folder = llada(root / "a")
    there = Checkpoints(Settings(models=tmp_path / "models", model="a", device="cpu"))
    assert there.entry("a").license == "MIT"
    cards = {
        "---\nlanguage: en\nlicense: apache-2.0\ntags: []\n---\n# A": "apache-2.0",
        "---\r\nlicense: other\r\nlicense_name: 'apple-amlr'\r\n---\r\n": "apple-amlr",
        "---\nlicense:\n- mit\n---\n": None,
        "# A\n\nlicense: mit\n": None,
        "\xff\xfe": None,
    }
    for card, license in cards.items():
        (folder / "README.md").write_bytes(card.encode("latin-1"))
        assert stated_license(folder) == license
        assert there.entry("a").license == (license or "MIT")
    write_json(folder / "profile.json", {"license": "ours"})
    assert there.entry("a").license == "ours"
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    assert stated_license(folder) is None
