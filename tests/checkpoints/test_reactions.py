"""A real checkpoint of other people: the ALBERT of rxnmapper (Schwaller et al. 2021, MIT licence), trained to fill
in masked tokens of chemical reactions in SMILES. Its wheel is a zip of 3 MB; nothing of it is installed or run.

Skipped where the wheel cannot be fetched.
"""

from __future__ import annotations

import pytest
import torch

from tests.contract.program import write
from tests.reactions import converted, fetched
from webui import App, Canvas
from webui.settings import Settings

pytestmark = pytest.mark.slow

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
    wheel = fetched(folder)
    if wheel is None:
        pytest.skip("the wheel of rxnmapper cannot be fetched")
    converted(wheel, folder / "models" / "checkpoints" / "reactions")
    app = App(
        Settings(
            models=folder / "models", data=folder, model="reactions", device="cpu", dtype="float32", threads=1
        )
    )
    yield app
    app.close()


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
