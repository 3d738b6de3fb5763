"""A byte-level BPE tokenizer for a small model, trained on the conversations that it will learn.

    python train/small/tokenizer.py pairs tokenizer
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD, END = "<|pad|>", "<|end|>"
SPECIAL = [PAD, END, "<|user|>", "<|assistant|>", "<|tool|>"]
WORDS = [
    "<function=bash><parameter=command>",
    "</parameter></function>",
    "cat -n ",
    " | sed -n ",
    "sed -i '",
    "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT",
]
"""What a small agent says all the time: one token each, but text like any other."""

PIECES = r" ?\p{L}+|\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""Words, digits in threes from the right, signs, and white space."""


def texts(conversations: Iterable[list[dict]]) -> Iterator[str]:
    """What is said in conversations. Every number of up to three digits is said often enough to become one token, and
    so is every ending of a longer one: line numbers are what a small agent must copy without fail."""
    for _ in range(200):
        yield " ".join(map(str, range(1000)))
        yield " ".join(f"1{at:03}" for at in range(100))
    for messages in conversations:
        for message in messages:
            if message["role"] != "system" and message.get("content"):
                yield message["content"]
            for call in message.get("tool_calls") or []:
                arguments = call["function"]["arguments"]
                arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
                yield " ".join(str(value) for value in arguments.values())


def train_tokenizer(conversations: Iterable[list[dict]], size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of `size` tokens, with the chat template of this directory."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(WORDS),
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(conversations), trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in WORDS])
    template = (Path(__file__).parent / "chat_template.jinja").read_text()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, chat_template=template, padding_side="right"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="a file of conversations (JSON Lines), or a directory of such files")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=4096)
    options = parser.parse_args()
    files = sorted(options.rows.glob("*.jsonl")) if options.rows.is_dir() else [options.rows]
    conversations = (json.loads(line)["messages"] for file in files for line in file.open())
    train_tokenizer(conversations, options.size).save_pretrained(options.out)


if __name__ == "__main__":
    main()
