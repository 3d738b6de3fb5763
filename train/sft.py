"""Supervised fine-tuning of what `palestra export --for trl` writes, on TRL and PEFT.

    python train/sft.py --data sft --model_name_or_path Qwen/Qwen2.5-Coder-7B-Instruct --output_dir out
    python train/sft.py --config train/trl/agent-swe-gym.yaml --data sft --output_dir out
    accelerate launch train/sft.py --config train/trl/agent-r2e-gym.yaml --data sft --output_dir out
    python train/sft.py --data sft --from_scratch train/small/config.json --output_dir out

Every option of TRL's `SFTConfig` and `ModelConfig` is one of this script, on the command line or in a file
(`--config`); those that are ours stand in `Data`. It runs on a CPU, a GPU, or many (`accelerate launch`). Beside the model it writes
`loss.jsonl` and `loss.svg`.
"""

import json
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from datasets import Dataset, Features, Json, load_dataset
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    TrainerCallback,
    set_seed,
)
from trl import ModelConfig, SFTConfig, SFTTrainer, TrlParser, get_peft_config

from curve import write_curve
from small.copying_heads import begin_with_copying_heads
from small.tokenizer import train_tokenizer


@dataclass
class Data:
    """What is learned, and by what."""

    data: list[str] = field(
        metadata={"help": "Directories that `palestra export` wrote, or files of rows (Parquet, JSON Lines)."}
    )
    from_scratch: str | None = field(
        default=None, metadata={"help": "Instead of a model: the configuration of one that begins with nothing (JSON)."}
    )
    vocabulary: int = field(default=3072, metadata={"help": "With --from_scratch: tokens of the tokenizer."})
    template: str | None = field(
        default=None, metadata={"help": "Chat template (Jinja) [default: the tokenizer's; the small one from scratch]."}
    )
    tokenizer: str | None = field(
        default=None,
        metadata={"help": "With --from_scratch: a tokenizer's directory, instead of one trained on the data."},
    )
    copying_heads: bool = field(
        default=False, metadata={"help": "With --from_scratch, of Llama's kind: begins with heads that copy."}
    )
    rows: int | None = field(default=None, metadata={"help": "Only so many rows, drawn by the seed."})
    threads: int | None = field(default=None, metadata={"help": "Threads of torch on a CPU."})
    sparse_logits: bool = field(
        default=False,
        metadata={"help": "Logits only where something is learned, and no other metrics: faster on a CPU."},
    )


class BadInput(Exception):
    """Something that the user can put right."""


def files_of(path: Path) -> list[Path]:
    """The files of rows at a path."""
    if path.is_dir():
        found = sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet"), *path.glob("*.jsonl")])
        if not found:
            raise BadInput(f"{path}: there are no rows (*.parquet, *.jsonl); name what `palestra export` wrote")
        return found
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file or directory")
    return [path]


def as_objects(row: dict) -> dict:
    """Arguments of calls and tools as objects, which chat templates want; both may be JSON as text."""
    messages = []
    for message in row["messages"]:
        message = {key: value for key, value in message.items() if value is not None}
        for call in message.get("tool_calls", []):
            function = call["function"]
            if isinstance(function["arguments"], str):
                function["arguments"] = json.loads(function["arguments"])
        messages.append(message)
    tools = row.get("tools")
    return {"messages": messages, "tools": json.loads(tools) if isinstance(tools, str) else tools}


def read_rows(paths: list[str]) -> list[dict]:
    """All rows, in order."""
    rows = []
    for file in (file for path in paths for file in files_of(Path(path))):
        kind = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}.get(file.suffix)
        if kind is None:
            raise BadInput(f"{file}: rows are in files that end with .parquet or .jsonl")
        if kind == "json":
            with file.open() as lines:
                found = [json.loads(line) for line in lines]
        else:
            found = load_dataset(kind, data_files=str(file), split="train").to_list()
        if found and "messages" not in found[0]:
            raise BadInput(f"{file}: rows have no `messages`; export them with `--for trl`")
        rows.extend(map(as_objects, found))
    if not rows:
        raise BadInput("there are no rows to learn from")
    return rows


def fitting(
    rows: list[dict], tokenizer: PreTrainedTokenizerBase, longest: int | None, count: int | None, seed: int
) -> list[dict]:
    """The rows that fit into the context, or `count` of them drawn by chance. A cut one would teach an end that is
    none."""
    if count is not None:
        rows = random.Random(seed).sample(rows, len(rows))
    kept: list[dict] = []
    long = 0
    for row in rows:
        if count is not None and len(kept) == count:
            break
        text = tokenizer.apply_chat_template(row["messages"], tools=row["tools"], return_dict=True)
        if longest is not None and len(text["input_ids"]) > longest:
            long += 1
        else:
            kept.append(row)
    if long:
        print(f"sft: {long} of {len(kept) + long} rows are longer than {longest} tokens and left out")
    if not kept:
        raise BadInput(f"no row fits into {longest} tokens; raise --max_length")
    return kept


def as_dataset(rows: list[dict]) -> Dataset:
    """Columns of JSON: objects keep the keys that they have, and get no others."""
    return Dataset.from_list(rows, features=Features({"messages": Json(), "tools": Json()}))


class Curve(TrainerCallback):
    """Keeps the loss of every logged step."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.losses: list[tuple[float, float]] = []

    def on_log(self, args, state, control, logs=None, **_) -> None:  # noqa: ANN001
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        self.losses.append((state.global_step, float(logs["loss"])))
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "loss.jsonl").open("w" if len(self.losses) == 1 else "a") as out:
            entry = {"step": state.global_step, "epoch": state.epoch, **logs}
            out.write(json.dumps(entry) + "\n")

    def on_train_end(self, args, state, control, **_) -> None:  # noqa: ANN001
        if state.is_world_process_zero and self.losses:
            write_curve(self.directory / "loss.svg", self.losses)


class SparseTrainer(SFTTrainer):
    """Computes logits only where there are labels. Of a small model on a CPU they are half of the work."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # noqa: ANN001, ANN201
        labels = inputs.pop("labels")[:, 1:]
        hidden = model.get_decoder()(**inputs).last_hidden_state[:, :-1]
        learned = labels != -100
        logits = model.get_output_embeddings()(hidden[learned])
        loss = torch.nn.functional.cross_entropy(logits.float(), labels[learned], reduction="sum")
        loss = loss / (num_items_in_batch if num_items_in_batch is not None else learned.sum())
        return (loss, {"logits": logits}) if return_outputs else loss


def load(data: Data, args: SFTConfig, model_args: ModelConfig, rows: list[dict]):  # noqa: ANN201
    """The model, or a new one, and its tokenizer."""
    if (data.from_scratch is None) == (model_args.model_name_or_path is None):
        raise BadInput("name either --model_name_or_path or --from_scratch")
    if data.from_scratch is None:
        tokenizer = AutoTokenizer.from_pretrained(model_args.model_name_or_path)
        dtype = getattr(torch, model_args.dtype, "auto") if model_args.dtype else "auto"
        model = AutoModelForCausalLM.from_pretrained(
            model_args.model_name_or_path, dtype=dtype, attn_implementation=model_args.attn_implementation
        )
    else:
        if data.tokenizer:
            tokenizer = AutoTokenizer.from_pretrained(data.tokenizer)
        else:
            tokenizer = train_tokenizer((row["messages"] for row in rows), data.vocabulary)
        wanted = json.loads(Path(data.from_scratch).read_text())
        special = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
        }
        set_seed(args.seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**{**wanted, **special}))
        if data.copying_heads:
            begin_with_copying_heads(model, args.seed)
        tokenizer.model_max_length = model.config.max_position_embeddings
    if data.template:
        tokenizer.chat_template = Path(data.template).read_text()
    if not tokenizer.chat_template:
        raise BadInput("the tokenizer has no chat template; name one with --template")
    return model, tokenizer


def main() -> None:
    parser = TrlParser((Data, SFTConfig, ModelConfig))
    parser.set_defaults_with_config(
        assistant_only_loss=True, logging_steps=10, save_strategy="no", gradient_checkpointing=False
    )
    data, args, model_args = parser.parse_args_and_config()
    if data.threads:
        torch.set_num_threads(data.threads)
    rows = read_rows(data.data)
    model, tokenizer = load(data, args, model_args, rows)
    dataset = as_dataset(fitting(rows, tokenizer, args.max_length, data.rows, args.seed))
    if args.process_index == 0:
        count = sum(one.numel() for one in model.parameters())
        print(f"sft: {len(dataset)} rows, {count / 1e6:.2f} million parameters, {args.device}")
    kind = SparseTrainer if data.sparse_logits else SFTTrainer
    trainer = kind(
        model=model,
        args=args,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=get_peft_config(model_args),
        callbacks=[Curve(Path(args.output_dir))],
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model(args.output_dir)
    if args.process_index == 0:
        print(f"sft: the model is in {args.output_dir}, its loss in loss.jsonl and loss.svg")


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        sys.exit(f"sft: {error}")
