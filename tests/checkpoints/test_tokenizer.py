"""Text to tokens and back: nothing a user types is special, and every token's text adds up to the whole
text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Fast
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from tests.tiny_checkpoints import BOS, EOS, EOT, FIRST_SPECIAL, MASK, SPECIAL, llada, write_json
from webui.checkpoints.tokenizer import Tokenizer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SPELLED = st.lists(st.sampled_from([*SPECIAL, "a", " ", "\n", "猫", "<|", "|>"]), max_size=8).map("".join)
TOKENS = st.lists(st.one_of(st.none(), st.integers(0, FIRST_SPECIAL + len(SPECIAL) - 1)), max_size=24)
# a template that does not trim
PLAIN = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[assistant]"
JOINED = (
    "{% for m in messages %}{{ m['content'] }}.{% endfor %}\n\n"  # no special token between text and frame
)
FEW = settings(max_examples=60, deadline=None)


def written(folder: Path, chat_template: str | None = None, trim_offsets: bool = False) -> Path:
    """A folder with the fixture's tokenizer and another chat template; `trim_offsets` as Llama 3's tokenizers
    have it."""
    llada(folder, n_layers=1)
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    write_json(
        folder / "tokenizer_config.json",
        {**config, "chat_template": config["chat_template"] if chat_template is None else chat_template},
    )
    if trim_offsets:
        stored = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        stored["post_processor"] = {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        }
        write_json(folder / "tokenizer.json", stored)
    return folder


def tokenizer(folder: Path, chat_template: str | None = None, trim_offsets: bool = False) -> Tokenizer:
    return Tokenizer.read(written(folder, chat_template, trim_offsets))


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Tokenizer:
    return tokenizer(tmp_path_factory.mktemp("plain") / "t")


@pytest.fixture(scope="module")
def framed(tmp_path_factory) -> dict[str, Tokenizer]:
    """Tokenizers by what their template does with the text, or by their offsets."""
    folder = tmp_path_factory.mktemp("framed")
    return {
        "trims": tokenizer(folder / "trims"),
        "keeps": tokenizer(folder / "keeps", PLAIN),
        "joined": tokenizer(folder / "joined", JOINED),
        "trimmed offsets": tokenizer(folder / "offsets", PLAIN, trim_offsets=True),
    }


# -- text -> tokens -> text ----------------------------------------------------------------------------------


@FEW
@given(text=st.one_of(TEXT, SPELLED))
@example("The cat – 猫, naïve.\n\t👩‍👩‍👧 \u0000 \ufffd \ue000 e\u0301")
def test_any_text_comes_back(plain, text):
    tokens = plain.encode(text)
    assert plain.decode(tokens) == text
    assert "".join(plain.pieces(tokens)) == text


@FEW
@given(text=SPELLED, template=st.sampled_from(["raw", "chat"]))
@example("<|mdm_mask|><|endoftext|>", "chat")
def test_special_tokens_spelled_by_the_user_are_text(plain, text, template):
    assert not any(token >= FIRST_SPECIAL for token in plain.encode(text))
    encoded = plain.prompt(text, system=text, template=template)
    of_the_user = [token for token, inside in zip(encoded.tokens, encoded.content, strict=True) if inside]
    assert not any(token >= FIRST_SPECIAL for token in of_the_user)
    assert MASK not in encoded.tokens and EOS not in encoded.tokens
    frame = [token for token, inside in zip(encoded.tokens, encoded.content, strict=True) if not inside]
    assert frame.count(EOT) == (0 if template == "raw" else 2 if text else 1), (
        "the template's own, and no more"
    )


def test_special_tokens_have_no_text(plain):
    assert plain.decode([BOS, MASK, EOS]) == "" and plain.decode([65, EOS, 66]) == plain.decode([65, 66])
    assert plain.id("<|mdm_mask|>") == MASK and plain.id("nope") is None
    assert plain.end == EOS and plain.declared_mask is None


# -- templates -----------------------------------------------------------------------------------------------


def content(tokenizer: Tokenizer, text: str, **more) -> tuple[str, str]:
    """The text of the tokens marked as the user's, and that of the others."""
    encoded = tokenizer.prompt(text, **more)
    marked = [token for token, inside in zip(encoded.tokens, encoded.content, strict=True) if inside]
    frame = [token for token, inside in zip(encoded.tokens, encoded.content, strict=True) if not inside]
    return tokenizer.decode(marked), tokenizer.decode(frame)


@FEW
@given(text=TEXT.filter(str.strip), system=st.sampled_from(["", "Be brief. 猫"]))
@example("  in  blanks \n", "Be brief. 猫")
@example(" a", "")
@example("a ", "")
@example("猫", "")
def test_the_content_is_the_users_text_and_the_frame_is_not(framed, text, system):
    assert content(framed["trims"], text, system=system)[0] == text.strip()
    for name in ("keeps", "trimmed offsets"):
        mine, frame = content(framed[name], text, system=system)
        assert mine == text, name
        assert frame == (f"[system]{system}" if system else "") + "[user][assistant]"


@pytest.mark.parametrize("name", ["keeps", "trimmed offsets", "joined"])
def test_masking_the_content_leaves_the_frame(framed, name):
    encoded = framed[name].prompt("a cat ", system="Be brief.")
    masked = encoded.masked(MASK)
    assert [token == MASK for token in masked.tokens] == list(encoded.content)
    kept = [
        (mine, theirs)
        for mine, theirs, inside in zip(masked.tokens, encoded.tokens, encoded.content, strict=True)
        if not inside
    ]
    assert kept and all(mine == theirs for mine, theirs in kept)


def test_a_token_that_is_part_text_and_part_frame_is_the_users(framed):
    """Nothing the user typed may survive in the empty branch."""
    assert "cat" not in content(framed["joined"], "a cat\n")[1] and content(framed["joined"], "a cat\n")[
        0
    ].startswith("a cat")


def test_an_empty_prompt_is_all_frame(framed):
    for name in framed:
        assert content(framed[name], "")[0] == ""
    assert framed["trims"].prompt("   ").content == framed["trims"].prompt("").content


def test_auto_is_the_template_if_there_is_one(plain, tmp_path):
    assert plain.prompt("Hi", template="auto") == plain.prompt("Hi", template="chat")
    assert plain.prompt("Hi").tokens[0] == BOS
    raw = plain.prompt("Hi", template="raw")
    assert list(raw.tokens) == plain.encode("Hi") and all(raw.content)
    assert plain.decode(plain.prompt("Hi", "Be brief.", "raw").tokens) == "Be brief.\n\nHi"
    without = tokenizer(tmp_path / "bare", "")
    assert plain.has_template and not without.has_template
    assert without.prompt("Hi") == without.prompt("Hi", template="raw")
    with pytest.raises(ValueError, match="bare has no chat template; use template auto or raw"):
        without.prompt("Hi", template="chat")


@pytest.mark.parametrize(
    "template",
    ["{% for %}", "{{ nothing.at.all }}", "{{ raise_exception('No system!') }}", "{{ messages[7].content }}"],
)
def test_a_broken_template_is_a_sentence(tmp_path, template):
    broken = tokenizer(tmp_path / "t", template)
    with pytest.raises(ValueError, match="The chat template of t failed") as refused:
        broken.prompt("Hi")
    assert "\n" not in str(refused.value)
    assert broken.prompt("Hi", template="raw").tokens, "raw needs no template"


TWICE = "{% for m in messages %}{{ m['content'] }}|{{ m['content'] | trim }}{% endfor %}<|eot_id|>"
AFTER = (
    "{{ messages[-1]['content'] }}{% if messages | length > 1 %} ({{ messages[0]['content'] }}){% endif %}."
)


@pytest.mark.parametrize("text", [" a cat", "\ue000", "\ue000\ue001 \ue000"])
def test_a_text_that_the_template_prints_twice_is_content_twice(tmp_path, text):
    twice = tokenizer(tmp_path / "t", TWICE)
    mine, frame = content(twice, text)
    assert mine == text + text.strip() and frame == "|"
    encoded = twice.prompt(text, "Be brief.")
    whole = f"Be brief.|Be brief.{text}|{text.strip()}"
    assert twice.decode(encoded.tokens) == whole


def test_a_system_prompt_after_the_text_is_no_content(tmp_path):
    mine, frame = content(tokenizer(tmp_path / "t", AFTER), "a cat", system="Be brief.")
    assert mine.strip(" (") == "a cat" and "Be brief." in frame


def test_a_text_that_the_template_changes_is_content(tmp_path):
    shouting = tokenizer(tmp_path / "t", "[{{ messages[0]['content'] | upper }}]")
    mine, frame = content(shouting, "a cat")
    assert "A CAT" in mine and not any(letter in frame for letter in "ACT")


# -- pieces --------------------------------------------------------------------------------------------------


def runs(tokens: list[int | None]) -> list[list[int]]:
    """The tokens between holes."""
    found: list[list[int]] = [[]]
    for token in tokens:
        if token is None:
            found.append([])
        else:
            found[-1].append(token)
    return found


@settings(max_examples=300, deadline=None)
@given(tokens=TOKENS)
def test_pieces_of_any_tokens_join_to_the_text_of_their_runs(plain, tokens):
    pieces = plain.pieces(tokens)
    assert len(pieces) == len(tokens)
    assert [piece is None for piece in pieces] == [token is None for token in tokens]
    joined, at = [], 0
    for run in runs(tokens):
        joined.append("".join(pieces[at : at + len(run)]))
        at += len(run) + 1
    assert joined == [plain.decode(run) for run in runs(tokens)]


def test_pieces_keep_the_blanks_of_tokenizers_that_drop_the_first(tmp_path):
    """As SentencePiece does: a word's blank is in its token, and the first one of a text is dropped."""
    words = Fast(models.WordLevel({"▁the": 0, "▁cat": 1, "s": 2, "?": 3}, unk_token="?"))
    words.pre_tokenizer, words.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    words.save(str(tmp_path / "tokenizer.json"))
    spaced = Tokenizer.read(tmp_path)
    assert spaced.decode([0, 1, 2, 1]) == "the cats cat"
    assert spaced.pieces([0, 1, 2, 1]) == ["the", " cat", "s", " cat"]


def test_a_character_of_several_tokens_stands_with_the_last(plain):
    tokens = plain.encode("a猫b")
    assert len(tokens) == 5
    assert plain.pieces(tokens) == ["a", "", "", "猫", "b"]


def test_a_character_cut_by_a_hole_is_a_replacement(plain):
    a, *cat, b = plain.encode("a猫b")
    assert plain.pieces([a, *cat[:2], None, b]) == ["a", "", "\ufffd", None, "b"]
    assert plain.pieces([a, None, cat[2], b]) == ["a", None, "", "\ufffdb"]


# -- decoding without a call ---------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(tokens=st.lists(st.integers(0, FIRST_SPECIAL + len(SPECIAL) + 3), max_size=24))
@example([200, 201, 202, 203, 128, 129])
def test_the_table_of_bytes_decodes_as_the_library_does(plain, tokens):
    """Where tokens are bytes, texts are put together here: the library is asked in its process for
    comparison."""
    assert plain._bytes() is not None
    assert plain.decode(tokens) == plain._process.call("decode", [tokens])[0]
    assert plain.pieces(tokens) == plain._process.call("pieces", tokens)
    assert plain.words(FIRST_SPECIAL + 20) == plain._process.call("words", FIRST_SPECIAL + 20)


def test_other_decoders_are_asked(tmp_path):
    words = Fast(models.WordLevel({"▁the": 0, "▁cat": 1, "s": 2, "?": 3}, unk_token="?"))
    words.pre_tokenizer, words.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    words.save(str(tmp_path / "tokenizer.json"))
    spaced = Tokenizer.read(tmp_path)
    assert spaced._bytes() is None
    assert spaced.decode_all([[0, 1], [1, 2]]) == ["the cat", "cats"] and spaced.words(5)[:3] == [
        "the",
        "cat",
        "s",
    ]


# -- the same as transformers --------------------------------------------------------------------------------


def test_prompts_are_those_of_transformers(framed, tmp_path):
    """Chat template, special tokens and tokens as `apply_chat_template` makes them."""
    for name, template in (("trims", None), ("keeps", PLAIN)):
        fast = PreTrainedTokenizerFast.from_pretrained(written(tmp_path / name, template))
        for system in ("", "Be brief."):
            messages = [{"role": "system", "content": system}] if system else []
            messages.append({"role": "user", "content": "a cat – 猫\n"})
            expected = fast.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
            assert list(framed[name].prompt("a cat – 猫\n", system).tokens) == expected


def test_tokens_of_tokenizer_config_are_added(tmp_path):
    folder = written(tmp_path / "t")
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    config["added_tokens_decoder"]["900"] = {"content": "<|extra|>", "special": True}
    config["mask_token"] = "<|new mask|>"
    write_json(folder / "tokenizer_config.json", config)
    mine, fast = Tokenizer.read(folder), PreTrainedTokenizerFast.from_pretrained(folder)
    assert mine.id("<|extra|>") == fast.get_vocab()["<|extra|>"]
    assert mine.declared_mask == fast.mask_token_id and len(mine) == len(fast)
    assert mine.id("<|extra|>") not in mine.encode("<|extra|>")


def test_vocabulary_and_merges_without_tokenizer_json(tmp_path):
    folder = written(tmp_path / "t")
    model = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    (folder / "tokenizer.json").unlink()
    write_json(folder / "vocab.json", model["vocab"])
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")
    mine, reference = Tokenizer.read(folder), Qwen2Tokenizer.from_pretrained(folder)
    for text in ("The cat and the other, 1234!\n\n  naïve 猫", "it's"):
        assert mine.encode(text) == reference.encode(text, add_special_tokens=False)
        assert mine.decode(mine.encode(text)) == text
    assert mine.id("<|mdm_mask|>") == reference.get_vocab()["<|mdm_mask|>"]


def test_many_at_once_are_as_one_by_one(plain):
    texts = ["a cat", "", "<|mdm_mask|>", "猫"]
    assert plain.encode_all(texts) == [plain.encode(text) for text in texts]
    rows = [plain.encode(text) for text in texts]
    assert plain.decode_all(rows) == texts == [plain.decode(row) for row in rows]
    assert plain.words(len(plain) + 2) == [*(plain.decode([i]) for i in range(len(plain))), "", ""]
