"""Runs a real client library against gateways: python clients.py LIBRARY URL...

Prints one JSON object a line for each case: which gateway, what came back, or the error. The session is named after
the case. Each case is a conversation of two turns: the model asks for a tool, the tool answers, the
model says that it is done.
"""

import json
import os
import sys
import traceback

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

KEY = "the-key-of-the-client"
PROMPT = "  list\tthe files\r\n"
RESULT = "a b\n\n  c \u00e9\U0001f600"
SCHEMA = {
    "type": "object",
    "properties": {"command": {"type": "string"}},
    "required": ["command"],
}
CHAT_TOOLS = [
    {"type": "function", "function": {"name": "bash", "description": "d", "parameters": SCHEMA}}
]


def chat_turns(ask):
    """Two turns over anything that takes and gives messages of chat completions."""
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": PROMPT}]
    first = ask(messages)
    call = first["tool_calls"][0]
    messages += [first, {"role": "tool", "tool_call_id": call["id"], "content": RESULT}]
    last = ask(messages)
    return {
        "text": first.get("content"),
        "name": call["function"]["name"],
        "arguments": call["function"]["arguments"],
        "last": last.get("content"),
    }


def joined(chunks):
    """A message of the chunks of chat completions."""
    text, calls = "", {}
    for chunk in chunks:
        # As most programs do it: every chunk has a choice, unless usage was asked for.
        delta = chunk.choices[0].delta
        text += delta.content or ""
        for piece in delta.tool_calls or []:
            call = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
            call["id"] += piece.id or ""
            call["name"] += piece.function.name or ""
            call["arguments"] += piece.function.arguments or ""
    message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in calls.values()
        ]
    return message


def cases_openai():
    import openai

    def client(case):
        return openai.OpenAI(base_url=f"{URL}/sessions/{case}/v1", api_key=KEY, max_retries=0)

    def chat(case):
        def ask(messages):
            answer = client(case).chat.completions.create(
                model="m", messages=messages, tools=CHAT_TOOLS
            )
            assert answer.usage.prompt_tokens > 0
            return answer.choices[0].message.model_dump(exclude_none=True)

        return chat_turns(ask)

    def chat_stream(case):
        def ask(messages):
            return joined(
                client(case).chat.completions.create(
                    model="m", messages=messages, tools=CHAT_TOOLS, stream=True
                )
            )

        return chat_turns(ask)

    def chat_usage(case):
        chunks = list(
            client(case).chat.completions.create(
                model="m",
                messages=[{"role": "tool", "tool_call_id": "c", "content": RESULT}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        assert chunks[-1].usage.prompt_tokens > 0, chunks[-1]
        return {"last": "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)}

    def responses(case, stream=False):
        items = [{"role": "user", "content": PROMPT}]
        seen = {}
        for turn in range(2):
            options = {
                "model": "m",
                "instructions": "s",
                "input": items,
                "tools": [
                    {"type": "function", "name": "bash", "description": "d", "parameters": SCHEMA}
                ],
            }
            if stream:
                text = ""
                for event in client(case).responses.create(stream=True, **options):
                    if event.type == "response.output_text.delta":
                        text += event.delta
                    if event.type == "response.completed":
                        answer = event.response
                assert answer.output_text == text, (answer.output_text, text)
            else:
                answer = client(case).responses.create(**options)
            assert answer.usage.input_tokens > 0
            items += [item.model_dump(exclude_none=True) for item in answer.output]
            if turn == 0:
                call = [item for item in answer.output if item.type == "function_call"][0]
                seen = {
                    "text": answer.output_text,
                    "name": call.name,
                    "arguments": call.arguments,
                }
                items.append(
                    {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}
                )
        return seen | {"last": answer.output_text}

    def models(case):
        return {"models": [model.id for model in client(case).models.list()]}

    yield "openai-chat", chat
    yield "openai-chat-stream", chat_stream
    yield "openai-chat-usage", chat_usage
    yield "openai-responses", responses
    yield "openai-responses-stream", lambda case: responses(case, True)
    yield "openai-models", models


def cases_anthropic():
    import anthropic

    def messages(case, stream=False):
        client = anthropic.Anthropic(base_url=f"{URL}/sessions/{case}", api_key=KEY, max_retries=0)
        said = [{"role": "user", "content": PROMPT}]
        seen = {}
        for turn in range(2):
            options = {
                "model": "m",
                "max_tokens": 1000,
                "system": "s",
                "messages": said,
                "tools": [{"name": "bash", "description": "d", "input_schema": SCHEMA}],
            }
            if stream:
                with client.messages.stream(**options) as events:
                    text = "".join(events.text_stream)
                    answer = events.get_final_message()
                assert text == "".join(b.text for b in answer.content if b.type == "text")
            else:
                answer = client.messages.create(**options)
            assert answer.usage.input_tokens > 0
            texts = "".join(block.text for block in answer.content if block.type == "text")
            if turn == 0:
                assert answer.stop_reason == "tool_use", answer.stop_reason
                call = [block for block in answer.content if block.type == "tool_use"][0]
                seen = {"text": texts, "name": call.name, "arguments": json.dumps(call.input)}
                result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
                # Marks for caches wander from call to call.
                result["cache_control"] = {"type": "ephemeral"}
                said += [
                    {"role": "assistant", "content": answer.content},
                    {"role": "user", "content": [result]},
                ]
        return seen | {"last": texts}

    yield "anthropic", messages
    yield "anthropic-stream", lambda case: messages(case, True)


def cases_litellm():
    import litellm

    litellm.suppress_debug_info = True

    def ask(case, model, base, stream):
        def once(messages):
            answer = litellm.completion(
                model=model,
                api_base=f"{URL}/sessions/{case}{base}",
                api_key=KEY,
                messages=messages,
                tools=CHAT_TOOLS,
                max_tokens=1000,
                stream=stream,
                num_retries=0,
            )
            if stream:
                chunks = list(answer)
                answer = litellm.stream_chunk_builder(chunks, messages=messages)
            return answer.choices[0].message.model_dump(exclude_none=True)

        return chat_turns(once)

    for kind, model, base in [("openai", "openai/m", "/v1"), ("anthropic", "anthropic/m", "")]:
        for stream in [False, True]:
            name = f"litellm-{kind}" + ("-stream" if stream else "")
            yield name, lambda case, model=model, base=base, stream=stream: ask(
                case, model, base, stream
            )


def main():
    # One process for all gateways: to import some of these libraries takes longer than to use them.
    global URL
    for place, URL in enumerate(sys.argv[2:]):
        for case, run in globals()[f"cases_{sys.argv[1]}"]():
            found = {"place": place, "case": case}
            try:
                found["seen"] = run(case)
            except Exception as error:
                found |= {"error": repr(error), "trace": traceback.format_exc()}
            print(json.dumps(found), flush=True)


main()
