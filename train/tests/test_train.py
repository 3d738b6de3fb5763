"""Trains a tiny model for a few steps, serves it, and asks it through OpenAI's client."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for module in ("torch", "trl", "peft", "openai"):
    pytest.importorskip(module, reason=f"{module} is absent; install train/requirements.txt")

import openai
from conversation import TOOL, Hunk, Place, conversation, difference, judged, row
from serve import read_calls

TRAIN = Path(__file__).parents[1]
TINY = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 256,
}
ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}


def sft(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TRAIN / "sft.py", "--use_cpu", "True", "--bf16", "False", "--threads", "1", *options]
    return subprocess.run(list(map(str, command)), env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    with path.open("w") as out:
        for at in range(20):
            right = ["def f(a):", f"    return a + {at}", ""]
            broken = ["def f(a):", f"    return a - {at}", ""]
            hunk = difference(broken, right)
            assert hunk is not None
            messages = conversation(Place(f"src/m{at}.py", 1, 2), broken, hunk)
            # As Parquet of palestra has it: arguments as text in every other row.
            if at % 2:
                for message in messages:
                    for call in message.get("tool_calls", []):
                        call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
            out.write(row(messages, {"instance_id": str(at)}) + "\n")
    return path


@pytest.fixture(scope="session")
def model(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    config = directory / "tiny.json"
    config.write_text(json.dumps(TINY))
    out = directory / "tiny"
    done = sft(
        *("--data", rows, "--from_scratch", config, "--vocabulary", "1500", "--output_dir", out, "--max_steps", "6"),
        *("--logging_steps", "1", "--learning_rate", "1e-2", "--max_length", "256"),
    )
    assert done.returncode == 0, done.stderr
    return out


def test_the_loss_is_written(model: Path) -> None:
    losses = [json.loads(line)["loss"] for line in (model / "loss.jsonl").read_text().splitlines()]
    assert len(losses) == 6 and losses[-1] < losses[0]
    assert (model / "loss.svg").read_text().startswith("<svg")


def test_only_what_the_model_says_is_learned(model: Path, rows: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    messages = json.loads(rows.read_text().splitlines()[0])["messages"]
    coded = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    learned = [one for one, mask in zip(coded["input_ids"], coded["assistant_masks"], strict=True) if mask]
    text = tokenizer.decode(learned)
    assert text.count("<function=bash>") == 3 and text.endswith("<|end|>") and "<|tool|>" not in text
    assert tokenizer.decode(coded["input_ids"]).startswith("<|user|> src/m0.py 1,2<|end|><|assistant|>")


def test_a_verifier_is_shown_the_lines_of_the_patch(model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    broken, right = ["x = 1", "y = 2"], Hunk(2, 2, ("y = 2",), ("y = 3",))
    shown = [(right, " x = 1\n-y = 2\n+y = 3", "YES"), (None, "(nothing was changed)", "NO")]
    for attempt, lines, word in shown:
        messages = judged(Place("a.py", 1, 2), broken, right, attempt)
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        assert text == f"<|user|>\n{lines}<|end|><|assistant|><judgement>{word}</judgement><|end|>"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--data", "absent.jsonl", "--from_scratch", "x.json"], "there is no such file"),
        (["--data", "."], "there are no rows"),
    ],
)
def test_bad_input_is_told(tmp_path: Path, options: list[str], says: str) -> None:
    options = [str(tmp_path / one) if one in {"absent.jsonl", "."} else one for one in options]
    done = sft(*options, "--output_dir", tmp_path / "out")
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr


class Server:
    def __init__(self, directory: Path) -> None:
        command = [sys.executable, TRAIN / "serve.py", directory, "--name", "tiny", "--port", "0", "--threads", "1"]
        self.process = subprocess.Popen(
            list(map(str, command)), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("tiny: http://127.0.0.1:"), line
        self.client = openai.OpenAI(base_url=line.split(": ")[1].strip(), api_key="none", max_retries=0)

    def ask(self, text: str = "The fault is in `src/m1.py`, lines 1 to 2.", **options: object):  # noqa: ANN201
        messages = [{"role": "user", "content": text}]
        options = {"temperature": 0, "max_tokens": 8, **options}
        return self.client.chat.completions.create(model="tiny", messages=messages, **options)


@pytest.fixture(scope="session")
def server(model: Path) -> Iterator[Server]:
    server = Server(model)
    yield server
    server.process.kill()
    server.process.wait()


def test_logprobs_and_token_ids(server: Server, model: Path) -> None:
    from transformers import AutoTokenizer

    answer = server.ask(logprobs=True, top_logprobs=20, extra_body={"return_token_ids": True})
    choice = answer.choices[0]
    ids = choice.model_extra["token_ids"]
    prompt = answer.model_extra["prompt_token_ids"]
    assert len(ids) == answer.usage.completion_tokens and len(prompt) == answer.usage.prompt_tokens
    assert len(choice.logprobs.content) == len(ids)
    for token in choice.logprobs.content:
        likeliest = token.top_logprobs
        assert len(likeliest) == 20 and math.isclose(token.logprob, likeliest[0].logprob)
        assert sum(math.exp(one.logprob) for one in likeliest) <= 1.0001
    tokenizer = AutoTokenizer.from_pretrained(model)
    assert tokenizer.decode(prompt) == "<|user|> src/m1.py 1,2<|end|><|assistant|>"
    again = server.ask(logprobs=True, extra_body={"return_token_ids": True})
    assert again.choices[0].model_extra["token_ids"] == ids
    assert choice.logprobs.content[0].bytes == list(choice.logprobs.content[0].token.encode())


def test_a_seed_decides(server: Server) -> None:
    answers = [server.ask(temperature=1.5, seed=seed, max_tokens=12) for seed in (1, 1, 2, 3, 4)]
    said = [answer.choices[0].message.content for answer in answers]
    assert said[0] == said[1] and len(set(said)) > 1


def test_prompt_logprobs_of_a_continued_message(server: Server) -> None:
    messages = [{"role": "user", "content": "Is it right?"}, {"role": "assistant", "content": "YES"}]
    body = {"prompt_logprobs": 0, "add_generation_prompt": False, "continue_final_message": True}
    answer = server.client.chat.completions.create(model="tiny", messages=messages, max_tokens=1, extra_body=body)
    seen = answer.model_extra["prompt_logprobs"]
    assert seen[0] is None and len(seen) == answer.usage.prompt_tokens
    assert "YES".endswith(next(iter(seen[-1].values()))["decoded_token"])


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"stream": True}, "stream"),
        ({"n": 2}, "n"),
        ({"extra_body": {"messages": []}}, "messages"),
        ({"extra_body": {"messages": [{"role": "king", "content": "x"}]}}, "messages[0]"),
    ],
)
def test_bad_requests_are_told(server: Server, options: dict, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        server.ask(**options)
    assert error.value.param == param and error.value.body["message"]


def test_a_prompt_longer_than_the_context(server: Server) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        server.client.chat.completions.create(
            model="tiny", messages=[{"role": "assistant", "content": "x y z " * 200}, {"role": "user", "content": "x"}]
        )
    assert error.value.code == "context_length_exceeded"


def test_another_model_is_not_there(server: Server) -> None:
    with pytest.raises(openai.NotFoundError):
        server.client.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
    assert [one.id for one in server.client.models.list()] == ["tiny"]


def test_lora(model: Path, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    done = sft(
        *("--data", rows, "--model_name_or_path", model, "--output_dir", out),
        *("--max_steps", "2", "--max_length", "256"),
        *("--use_peft", "True", "--lora_r", "4", "--lora_target_modules", "all-linear", "--logging_steps", "1"),
    )
    assert done.returncode == 0, done.stderr
    assert (out / "adapter_config.json").exists()
    server = Server(out)
    try:
        assert server.ask(tools=[TOOL]).usage.completion_tokens > 0
    finally:
        server.process.kill()
        server.process.wait()


def test_calls_are_read() -> None:
    text = "I look.\n<function=bash><parameter=command>ls\n</parameter></function>"
    assert read_calls(text) == ("I look.", [{"name": "bash", "arguments": {"command": "ls\n"}}])
    text = "<function=edit>\n<parameter=path>a</parameter>\n<parameter=new>\n  x\n</parameter>\n</function>"
    assert read_calls(text) == ("", [{"name": "edit", "arguments": {"path": "a", "new": "  x"}}])
    text = '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'
    assert read_calls(text) == ("", [{"name": "bash", "arguments": {"command": "ls"}}])
    assert read_calls("<function=bash><parameter=command>ls") == ("<function=bash><parameter=command>ls", [])
    assert read_calls("<tool_call>{broken}</tool_call>")[1] == []


@pytest.mark.parametrize("path", sorted((TRAIN / "trl").glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_of_trl(path: Path) -> None:
    from sft import Data
    from trl import ModelConfig, SFTConfig, TrlParser

    parser = TrlParser((Data, SFTConfig, ModelConfig))
    arguments = ["--config", str(path), "--data", "x", "--output_dir", "x", "--use_cpu", "True"]
    data, args, model = parser.parse_args_and_config(arguments)
    assert data.data == ["x"] and args.assistant_only_loss and model.model_name_or_path.startswith("Qwen/")


@pytest.mark.parametrize("path", sorted((TRAIN / "llama-factory").glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_of_llama_factory(path: Path) -> None:
    pytest.importorskip("llamafactory", reason="llamafactory is absent; it needs an environment of its own")
    import dataclasses

    import yaml
    from llamafactory.hparams.parser import _TRAIN_ARGS

    known = {field.name for kind in _TRAIN_ARGS for field in dataclasses.fields(kind)}
    assert set(yaml.safe_load(path.read_text())) <= known
