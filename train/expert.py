"""A server that knows the fixes of tasks and plays an agent that makes them: view, edit, submit.

    python train/expert.py TASKS... --port 8100

It speaks chat completions for palestra's agent `mini` with native calls. It stands where a strong model would: its
attempts are run, graded and filtered like those of any other. It has no model in it.
"""

import argparse
import json
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from conversation import SUBMIT, Hunk, Place, edit, view
from place import Trees, fix_of, tasks_of


class Expert:
    """Fixes by the statement of their task."""

    def __init__(self, directories: list[Path]) -> None:
        self.fixes: dict[str, Hunk] = {}
        with tempfile.TemporaryDirectory() as scratch:
            trees = Trees(Path(scratch))
            for task in (task for directory in directories for task in tasks_of(directory)):
                fix = fix_of(task, trees)
                if not isinstance(fix, str):
                    self.fixes[(task / "instruction.md").read_text().strip()] = fix[2]

    def command(self, messages: list[dict]) -> str:
        """What the expert does next."""
        text = next((message["content"] for message in messages if message["role"] == "user"), "")
        place = Place.of(text)
        if place is None:
            raise LookupError("the statement names no place; make the tasks with train/place.py")
        said = sum(message["role"] == "assistant" for message in messages)
        if said == 0:
            return view(place)
        if said > 1:
            return SUBMIT
        for statement, hunk in self.fixes.items():
            if statement in text:
                return edit(place.path, hunk)
        raise LookupError("no task that this expert was started with has this statement")


def handler(expert: Expert) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self, status: int, body: dict) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            try:
                command = expert.command(body["messages"])
            except (LookupError, KeyError) as error:
                self.reply(400, {"error": {"message": str(error), "type": "invalid_request_error"}})
                return
            name = f"call_{len(body['messages'])}"
            function = {"name": "bash", "arguments": json.dumps({"command": command})}
            message = {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": name, "type": "function", "function": function}],
            }
            # No tokens are counted: there is no tokenizer.
            prompt, completion = len(json.dumps(body["messages"])) // 4, len(command) // 4
            usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}
            self.reply(
                200,
                {
                    "id": f"expert-{time.time_ns()}",
                    "object": "chat.completion",
                    "created": int(time.time()),
                    "model": body.get("model", "expert"),
                    "choices": [choice],
                    "usage": usage,
                },
            )

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path, nargs="+", help="directories of tasks, made by train/place.py")
    parser.add_argument("--port", type=int, default=8100)
    options = parser.parse_args()
    expert = Expert(options.tasks)
    server = ThreadingHTTPServer(("127.0.0.1", options.port), handler(expert))
    print(f"{len(expert.fixes)} fixes, http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
