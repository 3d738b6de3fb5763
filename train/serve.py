"""Serves a model's directory by the protocol of chat completions, for trying out what was trained.

    python train/serve.py out --port 8101 --name small

Small on purpose: one completion at a time, no streams. vLLM and SGLang serve large models.

Tool calls are read from the text of the model, in one of two forms:

    <function=NAME><parameter=KEY>value</parameter></function>
    <tool_call>{"name": "NAME", "arguments": {"KEY": "value"}}</tool_call>

In the first a newline after `<parameter=KEY>` and one before `</parameter>` are layout. What is no whole call stays
text. `logprobs` and `top_logprobs` are those of the model before temperature and top_p. With `return_token_ids` an
answer has `prompt_token_ids`, and its choice `token_ids`, as vLLM has them: the ids that were sampled, the end mark
included. `prompt_logprobs`, `add_generation_prompt` and `continue_final_message` are vLLM's too.
"""

import argparse
import json
import re
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

FUNCTION = re.compile(r"<function=([^<>\n]+)>(.*?)</function>", re.DOTALL)
PARAMETER = re.compile(r"<parameter=([^<>\n]+)>(.*?)</parameter>", re.DOTALL)
HERMES = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
MOST_TOP_LOGPROBS = 20
ROLES = {"system", "developer", "user", "assistant", "tool"}


class BadRequest(Exception):
    """A request that cannot be answered. `param` names the field."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.code = param, code


def read_calls(text: str) -> tuple[str, list[dict]]:
    """The text before the first call, and the calls: names, and arguments as objects."""
    found: list[tuple[int, str, dict]] = []
    for match in FUNCTION.finditer(text):
        arguments = {}
        for name, value in PARAMETER.findall(match[2]):
            if value.startswith("\n"):
                value = value[1:].removesuffix("\n")
            arguments[name.strip()] = value
        found.append((match.start(), match[1].strip(), arguments))
    for match in HERMES.finditer(text):
        try:
            call = json.loads(match[1])
            found.append((match.start(), str(call["name"]), dict(call.get("arguments") or {})))
        except (ValueError, KeyError, TypeError):
            continue
    found.sort(key=lambda one: one[0])
    before = text[: found[0][0]] if found else text
    return before.strip() if found else before, [{"name": name, "arguments": rest} for _, name, rest in found]


@dataclass
class Asked:
    """A request, checked."""

    messages: list[dict]
    tools: list[dict] | None
    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: list[str]
    top_logprobs: int | None
    token_ids: bool
    prompt_logprobs: int | None
    continues: bool
    opens: bool


def number(body: dict, name: str, default: float, least: float, most: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadRequest(f"{name} is {value!r}; it must be a number from {least} to {most}", name)
    return value


def messages_of(body: dict) -> list[dict]:
    """Messages with text as text, and arguments as objects: so chat templates want them."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list that is not empty", "messages")
    out = []
    for at, message in enumerate(messages):
        place = f"messages[{at}]"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise BadRequest(f"{place}.role must be system, developer, user, assistant or tool", place)
        content = message.get("content")
        if isinstance(content, list):
            parts = [part.get("text") if isinstance(part, dict) else None for part in content]
            if not all(isinstance(part, str) for part in parts):
                raise BadRequest(f"{place}.content has a part that is not text; this model reads only text", place)
            content = "".join(parts)
        if content is not None and not isinstance(content, str):
            raise BadRequest(f"{place}.content must be a text or a list of parts", place)
        if content is None and not message.get("tool_calls"):
            raise BadRequest(f"{place}.content is missing", place)
        kept = {**message, "content": content or ""}
        calls = message.get("tool_calls")
        if calls:
            try:
                kept["tool_calls"] = [
                    {**call, "function": {**call["function"], "arguments": as_object(call["function"]["arguments"])}}
                    for call in calls
                ]
            except (KeyError, TypeError) as error:
                raise BadRequest(f"{place}.tool_calls is not in the form of chat completions", place) from error
        out.append(kept)
    return out


def as_object(arguments: str | dict) -> dict:
    """Arguments of a call. What is no object, as a model may have written it, is kept under one name."""
    if isinstance(arguments, dict):
        return arguments
    try:
        value = json.loads(arguments)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"arguments": arguments}


def read_request(body: object, longest: int) -> Asked:
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    if body.get("stream"):
        raise BadRequest("this server has no streams; leave out stream", "stream")
    if number(body, "n", 1, 1, 128) != 1:
        raise BadRequest("this server gives one completion at a time; leave out n", "n")
    stop = body.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(one, str) and one for one in stop):
        raise BadRequest("stop must be a text or a list of texts", "stop")
    tools = body.get("tools")
    if tools is not None and not isinstance(tools, list):
        raise BadRequest("tools must be a list", "tools")
    top = None
    if body.get("logprobs"):
        top = int(number(body, "top_logprobs", 0, 0, MOST_TOP_LOGPROBS))
    elif body.get("top_logprobs"):
        raise BadRequest("top_logprobs needs logprobs: true", "top_logprobs")
    limit = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    seed = body.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise BadRequest("seed must be an integer", "seed")
    prompt = body.get("prompt_logprobs")
    return Asked(
        messages=messages_of(body),
        tools=tools or None,
        max_tokens=int(number(body, limit, longest, 1, float("inf"))) if body.get(limit) is not None else longest,
        temperature=number(body, "temperature", 1.0, 0.0, 2.0),
        top_p=number(body, "top_p", 1.0, 0.0, 1.0),
        seed=seed,
        stop=stop,
        top_logprobs=top,
        token_ids=bool(body.get("return_token_ids")),
        prompt_logprobs=None if prompt is None else int(number(body, "prompt_logprobs", 0, 0, MOST_TOP_LOGPROBS)),
        continues=bool(body.get("continue_final_message")),
        opens=bool(body.get("add_generation_prompt", True)) and not body.get("continue_final_message"),
    )


class Served:
    """A model and its tokenizer."""

    def __init__(self, directory: Path, name: str, device: str, longest: int | None) -> None:
        self.name = name
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        if not self.tokenizer.chat_template:
            raise SystemExit(f"serve: the tokenizer in {directory} has no chat template; put chat_template.jinja there")
        self.model = load(directory).to(device).eval()
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 4096
        self.context = min(context, longest or context)
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self.ends = {one for one in [*ends, self.tokenizer.eos_token_id] if one is not None}
        self.one_at_a_time = threading.Lock()

    def complete(self, body: object) -> dict:
        """Answers a request."""
        asked = read_request(body, self.context)
        try:
            prompt = self.tokenizer.apply_chat_template(
                asked.messages,
                tools=asked.tools,
                add_generation_prompt=asked.opens,
                continue_final_message=asked.continues,
                return_dict=True,
            )["input_ids"]
        except Exception as error:  # Templates are programs, and refuse with whatever exception.
            raise BadRequest(f"the chat template refuses these messages: {error}", "messages") from error
        if len(prompt) >= self.context:
            raise BadRequest(
                f"This model's maximum context length is {self.context} tokens, and the messages have {len(prompt)}.",
                "messages",
                "context_length_exceeded",
            )
        with self.one_at_a_time, torch.inference_mode():
            return self.answer(asked, prompt)

    def answer(self, asked: Asked, prompt: list[int]) -> dict:
        device = self.model.device
        chance = torch.Generator().manual_seed(asked.seed) if asked.seed is not None else None
        cache = DynamicCache(config=self.model.config)
        ids: list[int] = []
        said: list[dict] = []
        finish = "length"
        seen = None
        step = torch.tensor([prompt], device=device)
        for _ in range(min(asked.max_tokens, self.context - len(prompt))):
            out = self.model(input_ids=step, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            if seen is None and asked.prompt_logprobs is not None:
                seen = self.prompt_logprobs(out.logits[0], prompt, asked.prompt_logprobs)
            logits = out.logits[0, -1].float().cpu()
            token = sample(logits, asked.temperature, asked.top_p, chance)
            ids.append(token)
            if asked.top_logprobs is not None:
                said.append(self.told(torch.log_softmax(logits, -1), token, asked.top_logprobs))
            if token in self.ends:
                finish = "stop"
                break
            if asked.stop and any(one in self.tokenizer.decode(ids) for one in asked.stop):
                finish = "stop"
                break
            step = torch.tensor([[token]], device=device)
        text = self.tokenizer.decode(ids[:-1] if ids and ids[-1] in self.ends else ids, skip_special_tokens=True)
        for one in asked.stop:
            text = text.split(one)[0]
        content, calls = read_calls(text) if asked.tools else (text, [])
        message: dict = {"role": "assistant", "content": content}
        if calls:
            message["tool_calls"] = [
                {
                    "id": f"call_{uuid.uuid4().hex[:24]}",
                    "type": "function",
                    "function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)},
                }
                for call in calls
            ]
            finish = "tool_calls" if finish == "stop" else finish
        choice: dict = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        if asked.top_logprobs is not None:
            choice["logprobs"] = {"content": said, "refusal": None}
        body: dict = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.name,
            "choices": [choice],
            "usage": {
                "prompt_tokens": len(prompt),
                "completion_tokens": len(ids),
                "total_tokens": len(prompt) + len(ids),
            },
        }
        if asked.token_ids:
            choice["token_ids"] = ids
            body["prompt_token_ids"] = prompt
        if seen is not None:
            body["prompt_logprobs"] = seen
        return body

    def told(self, logprobs: torch.Tensor, token: int, count: int) -> dict:
        """A token with its log-probability, and the likeliest ones in its place."""

        def entry(one: int) -> dict:
            text = self.tokenizer.decode([one])
            return {"token": text, "logprob": logprobs[one].item(), "bytes": list(text.encode())}

        likeliest = torch.topk(logprobs, min(count, len(logprobs))).indices.tolist() if count else []
        return {**entry(token), "top_logprobs": [entry(one) for one in likeliest]}

    def prompt_logprobs(self, logits: torch.Tensor, prompt: list[int], count: int) -> list[dict | None]:
        """What each token of the prompt had, itself first, by id; nothing is known of the first one."""
        logprobs = torch.log_softmax(logits.float().cpu(), -1)
        out: list[dict | None] = [None]
        for at, token in enumerate(prompt[1:]):
            likeliest = torch.topk(logprobs[at], min(count, logprobs.shape[-1])).indices.tolist() if count else []
            order = [token, *likeliest]
            ranks = {one: int((logprobs[at] > logprobs[at, one]).sum()) + 1 for one in order}
            out.append(
                {
                    str(one): {
                        "logprob": logprobs[at, one].item(),
                        "rank": ranks[one],
                        "decoded_token": self.tokenizer.decode([one]),
                    }
                    for one in ranks
                }
            )
        return out


def load(directory: Path) -> torch.nn.Module:
    """The model, or an adapter put into the model that it was made for."""
    if (directory / "adapter_config.json").exists():
        from peft import AutoPeftModelForCausalLM

        return AutoPeftModelForCausalLM.from_pretrained(directory).merge_and_unload()
    return AutoModelForCausalLM.from_pretrained(directory, dtype="auto")


def sample(logits: torch.Tensor, temperature: float, top_p: float, chance: torch.Generator | None) -> int:
    """One token. At temperature 0 the likeliest."""
    if temperature == 0:
        return int(logits.argmax())
    shares, order = torch.softmax(logits / temperature, -1).sort(descending=True)
    # The likeliest is always in the nucleus.
    shares[(shares.cumsum(-1) - shares) >= max(top_p, 1e-9)] = 0
    return int(order[torch.multinomial(shares, 1, generator=chance)])


def handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self, status: int, body: dict) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def refuse(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
            kind = "invalid_request_error" if status < 500 else "server_error"
            self.reply(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})

        def do_GET(self) -> None:
            if self.path.rstrip("/") in {"/health", "/v1/health"}:
                self.reply(200, {"status": "ok"})
            elif self.path.rstrip("/") == "/v1/models":
                model = {"id": served.name, "object": "model", "owned_by": "local", "max_model_len": served.context}
                self.reply(200, {"object": "list", "data": [model]})
            else:
                self.refuse(404, f"there is no {self.path}; ask /v1/models or /v1/chat/completions")

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.rstrip("/") != "/v1/chat/completions":
                self.refuse(404, f"there is no {self.path}; ask /v1/chat/completions")
                return
            try:
                body = json.loads(data)
                if isinstance(body, dict) and body.get("model") not in {None, served.name}:
                    what = f"there is no model {body['model']!r}; this server has {served.name!r}"
                    self.refuse(404, what, "model", "model_not_found")
                    return
                self.reply(200, served.complete(body))
            except ValueError as error:
                self.refuse(400, f"the body is not JSON: {error}")
            except BadRequest as error:
                self.refuse(400, str(error), error.param, error.code)
            except (BrokenPipeError, ConnectionResetError):
                pass
            except Exception as error:  # One bad request must not end the server.
                print(f"serve: {type(error).__name__}: {error}", file=sys.stderr)
                self.refuse(500, f"{type(error).__name__}: {error}")

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the directory of a model and its tokenizer, or of an adapter")
    parser.add_argument("--name", help="its name in requests [default: the directory's]")
    parser.add_argument("--port", type=int, default=8101, help="0: any that is free [%(default)s]")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--context", type=int, help="at most so many tokens [default: what the model can]")
    parser.add_argument("--threads", type=int, help="threads of torch on a CPU")
    options = parser.parse_args()
    if not options.model.is_dir():
        raise SystemExit(f"serve: {options.model} is no directory; name one with a model and a tokenizer")
    if options.threads:
        torch.set_num_threads(options.threads)
    served = Served(options.model, options.name or options.model.resolve().name, options.device, options.context)
    server = ThreadingHTTPServer(("127.0.0.1", options.port), handler(served))
    print(f"{served.name}: http://127.0.0.1:{server.server_port}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
