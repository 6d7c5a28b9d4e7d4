"""The tokenizer: any text survives, frequent words are whole, and the saved files do what the program
expects."""

import random

import pytest

from extensions.training import tokenizer
from extensions.training.conditions import FRAME


def any_text(dice: random.Random) -> str:
    """Unicode of every kind: letters, blanks, line ends, control characters, rare scripts, what spells
    special tokens."""
    pools = [
        lambda: chr(dice.randrange(32, 127)),
        lambda: chr(dice.randrange(0xD800)),
        lambda: chr(dice.randrange(0xE000, 0x110000)),
        lambda: dice.choice(" \n\t\r\u00a0"),
        lambda: dice.choice(["dragon", " the", "1984", "don't", '."', "Story:", "\n\n"]),
    ]
    return "".join(dice.choice(pools)() for _ in range(dice.randrange(40)))


@pytest.mark.parametrize("seed", range(20))
def test_any_unicode_survives_a_round_trip(made, seed):
    dice = random.Random(seed)
    for _ in range(50):
        text = any_text(dice)
        assert made.decode(made.encode(text).ids, skip_special_tokens=False) == text


def test_frequent_words_are_one_token(made):
    assert all(len(made.encode(word).ids) == 1 for word in (" the", " was", " happy", " and", " day"))


def test_special_tokens_come_first_and_the_size_is_as_asked(made):
    assert [made.token_to_id(token) for token in (tokenizer.START, tokenizer.END, tokenizer.MASK)] == [
        0,
        1,
        2,
    ]
    assert made.get_vocab_size() == 1024


def test_too_little_text_is_refused():
    with pytest.raises(ValueError, match="fewer than"):
        tokenizer.train(["a b"], 1024)


def test_the_saved_files_load_as_the_program_loads_them(made, tmp_path):
    from transformers import PreTrainedTokenizerFast

    tokenizer.save(made, tmp_path, 128)
    fast = PreTrainedTokenizerFast.from_pretrained(tmp_path, clean_up_tokenization_spaces=False)
    assert (fast.mask_token, fast.eos_token, fast.pad_token, fast.bos_token) == (
        tokenizer.MASK,
        tokenizer.END,
        tokenizer.END,
        tokenizer.START,
    )
    assert fast.model_max_length == 128
    text = 'a fox , \'twas  é\n\n"Hi ! " 你好'
    assert fast.decode(fast.encode(text)) == text
    assert fast.encode(text) == made.encode(text).ids


def test_the_template_frames_the_last_user_message(made, tmp_path):
    from transformers import PreTrainedTokenizerFast

    tokenizer.save(made, tmp_path, 128)
    fast = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    ask = {"role": "user", "content": "dragon, cake"}

    def render(*messages):
        return fast.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)

    assert render(ask) == "dragon, cake" + FRAME
    assert render({"role": "system", "content": "sad"}, ask) == "sad\ndragon, cake" + FRAME
    assert (
        render({"role": "user", "content": "first"}, {"role": "assistant", "content": "One"}, ask)
        == "dragon, cake" + FRAME
    )


def test_prompt_and_answer_are_cut_alike_together_and_apart(made):
    whole = made.encode("dragon, cake" + FRAME + " One day").ids
    assert whole == [*made.encode("dragon, cake").ids, *made.encode(FRAME).ids, *made.encode(" One day").ids]
