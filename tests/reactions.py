"""The ALBERT of rxnmapper (Schwaller et al. 2021, MIT licence), trained to fill in masked tokens of chemical
reactions in SMILES: its wheel, a zip of 3 MB of which nothing is installed or run, as a checkpoint of this program."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from tests.tiny_checkpoints import write_json
from webui.checkpoints.convert import convert

WHEEL = "rxnmapper==0.4.3"
SHA256 = "27876a4286881aafd286fd6f24a6a56a4ca6ba22d68e035a0ea120106c541ba5"
INSIDE = "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k/"
# what is one token in SMILES (Schwaller et al. 2019)
ATOMS = (
    r"\[[^\]]+\]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>>?|\*|\$|%[0-9]{2}|[0-9]"
)


def fetched(folder: Path) -> Path | None:
    """The wheel, fetched into a folder; None where pip cannot fetch it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), WHEEL]
    try:
        failed = subprocess.run(command, capture_output=True, timeout=90).returncode
    except subprocess.TimeoutExpired:
        return None
    wheel = next(folder.glob("*.whl"), None)
    if failed or wheel is None:
        return None
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256
    return wheel


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
