"""A LoRA that PEFT made for an autoregressive Qwen2 or Qwen3 acts on Dream and SDAR, which come from them, as if it were
merged into their weights; a note says where it comes from."""

from __future__ import annotations

import json
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.adapter_files import saved
from tests.conftest import ROOT
from tests.contract.program import program, write

SIZES = {
    "vocab_size": 304,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CASES = {
    "Dream": ("Qwen2", "Qwen/Qwen2.5-7B-Instruct", "Qwen2.5", {}),
    "SDAR": ("Qwen3", "Qwen/Qwen3-8B", "Qwen3", {"head_dim": 12}),
}
WEIGHT = 1.5


@pytest.mark.parametrize("family", CASES)
def test_a_lora_of_the_ancestor_acts_as_if_merged(tmp_path, family):
    import transformers
    from peft import LoraConfig, get_peft_model

    kind, base, ancestor, more = CASES[family]
    config = getattr(transformers, f"{kind}Config")(**SIZES, **more)
    autoregressive = getattr(transformers, f"{kind}ForCausalLM")(config)
    named = ["q_proj", "v_proj", "o_proj", "down_proj"]
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        made = get_peft_model(autoregressive, LoraConfig(r=4, lora_alpha=8, target_modules=named))
        for name, value in made.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(value, std=0.2)
    app = program(tmp_path, ROOT / "extensions", (family,), dtype="float64")
    lora = saved(made, tmp_path / "models" / "loras" / "ar")
    about = json.loads((lora / "adapter_config.json").read_text("utf-8"))
    (lora / "adapter_config.json").write_text(json.dumps({**about, "base_model_name_or_path": base}), "utf-8")
    merged = tmp_path / "models" / "checkpoints" / "merged"
    shutil.copytree(tmp_path / "models" / "checkpoints" / family, merged)
    weights, trained = load_file(merged / "model.safetensors"), load_file(lora / "adapter_model.safetensors")
    changed = 0
    for name, down in trained.items():
        if name.endswith("lora_A.weight"):
            up = trained[name.replace("lora_A", "lora_B")]
            target = name.removeprefix("base_model.model.").replace("lora_A.", "")
            weights[target] = (
                weights[target].double() + WEIGHT * 8 / 4 * up.double() @ down.double()
            ).float()
            changed += 1
    assert changed == 2 * len(named)
    save_file(weights, merged / "model.safetensors", {"format": "pt"})
    asked = {"length": 12, "steps": 6, "temperature": 0.0, "end_of_text": "ban", "template": "raw"}
    text = write(app, prompt=f"the cat <lora:ar:{WEIGHT}>", model=family, **asked)
    same = write(app, prompt="the cat", model="merged", **asked)
    without = write(app, prompt="the cat", model=family, **asked)
    assert text.text == same.text != without.text
    said = text.extras["lora"]["ar"]
    assert f"{family} was made from {ancestor}, for which this was trained" in said and base in said
    app.close()
