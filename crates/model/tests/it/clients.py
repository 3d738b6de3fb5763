"""Speaks with the scripted server through real client libraries: `clients.py CLIENT URL`.

Each client asks, gets a tool call, answers it, and gets the answer repeated; whole and as a stream.
"""

import json
import sys

KEY = "a-test-key"
TEXT = "I look. é🤖"
THOUGHT = "Where am I?"
ARGUMENTS = '{"command": "ls </function> \\u00e9\\n"}'
INPUT = {"command": "ls </function> é\n"}
RESULT = " a\r\n b\0 "
FINAL = "  It said:\r\n" + RESULT
SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
CHAT_TOOLS = [{"type": "function", "function": {
    "name": "bash", "description": "Runs a command.", "parameters": SCHEMA}}]


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def openai_chat(url):
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    asked = dict(model="m", tools=CHAT_TOOLS, extra_body={"return_token_ids": True}, logprobs=True)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]
    answer = client.chat.completions.create(messages=messages, **asked)
    choice = answer.choices[0]
    same(choice.finish_reason, "tool_calls")
    same(choice.message.content, TEXT)
    same(choice.message.reasoning_content, THOUGHT)
    same(choice.message.tool_calls[0].function.arguments, ARGUMENTS)
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
    ids = answer.prompt_token_ids + choice.token_ids
    same(len(choice.logprobs.content), len(choice.token_ids))
    messages += [choice.message, {
        "role": "tool", "tool_call_id": choice.message.tool_calls[0].id, "content": RESULT}]
    answer = client.chat.completions.create(messages=messages, **asked)
    same(answer.choices[0].message.content, FINAL)
    same(answer.choices[0].finish_reason, "stop")
    same(answer.prompt_token_ids[: len(ids)], ids)

    with client.chat.completions.stream(
        messages=messages[:2], stream_options={"include_usage": True}, **asked
    ) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    choice = answer.choices[0]
    same(choice.message.content, TEXT)
    same(choice.message.tool_calls[0].function.arguments, ARGUMENTS)
    same(choice.finish_reason, "tool_calls")
    assert answer.usage.total_tokens > 0
    pieces = list(client.chat.completions.create(messages=messages, stream=True, model="m"))
    same("".join(p.choices[0].delta.content or "" for p in pieces if p.choices), FINAL)
    assert all(p.usage is None for p in pieces)

    try:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "fail"}])
        raise AssertionError("it did not fail")
    except openai.BadRequestError as error:
        same(error.body["message"], "as the script says")
    try:
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0).chat.completions.create(
            model="m", messages=messages[:2])
        raise AssertionError("it did not fail")
    except openai.AuthenticationError:
        pass


def openai_responses(url):
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    tools = [{"type": "function", "name": "bash", "description": "Runs a command.",
              "parameters": SCHEMA, "strict": False}]
    asked = dict(model="m", tools=tools, instructions="Be brief.")

    def check(answer):
        same(answer.status, "completed")
        same(answer.output_text, TEXT)
        same([item.type for item in answer.output], ["reasoning", "message", "function_call"])
        same(answer.output[0].summary[0].text, THOUGHT)
        same(answer.output[2].arguments, ARGUMENTS)
        assert answer.usage.total_tokens > 0

    answer = client.responses.create(input="Hello?", **asked)
    check(answer)
    items = [{"role": "user", "content": "Hello?"}, *answer.output, {
        "type": "function_call_output", "call_id": answer.output[2].call_id, "output": RESULT}]
    same(client.responses.create(input=items, **asked).output_text, FINAL)

    with client.responses.stream(input="Hello?", **asked) as stream:
        kinds = [event.type for event in stream]
        check(stream.get_final_response())
    for kind in ["output_text.delta", "function_call_arguments.done", "reasoning_summary_text.delta"]:
        assert f"response.{kind}" in kinds, kinds
    deltas = [event.delta for event in client.responses.create(input=items, stream=True, **asked)
              if event.type == "response.output_text.delta"]
    same("".join(deltas), FINAL)


def anthropic_messages(url):
    import anthropic

    client = anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0)
    tools = [{"name": "bash", "description": "Runs a command.", "input_schema": SCHEMA}]
    asked = dict(model="m", max_tokens=100, tools=tools, system="Be brief.")
    messages = [{"role": "user", "content": "Hello?"}]

    def check(answer):
        same(answer.stop_reason, "tool_use")
        same([block.type for block in answer.content], ["thinking", "text", "tool_use"])
        same(answer.content[0].thinking, THOUGHT)
        same(answer.content[1].text, TEXT)
        same(answer.content[2].input, INPUT)
        assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0

    answer = client.messages.create(messages=messages, **asked)
    check(answer)
    messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": answer.content[2].id, "content": RESULT}]}]
    answer = client.messages.create(messages=messages, **asked)
    same(answer.content[0].text, FINAL)
    same(answer.stop_reason, "end_turn")

    with client.messages.stream(messages=messages[:1], **asked) as stream:
        partial = "".join(event.partial_json for event in stream if event.type == "input_json")
        check(stream.get_final_message())
    same(partial, ARGUMENTS)
    with client.messages.stream(messages=messages, **asked) as stream:
        same("".join(stream.text_stream), FINAL)
    try:
        client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "fail"}])
        raise AssertionError("it did not fail")
    except anthropic.BadRequestError as error:
        same(error.body["error"]["message"], "as the script says")


def litellm_with(model, base):
    import litellm

    litellm.drop_params = True
    litellm.telemetry = False
    asked = dict(model=model, api_base=base, api_key=KEY, tools=CHAT_TOOLS, max_tokens=100,
                 num_retries=0)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]

    def check(answer):
        choice = answer.choices[0]
        same(choice.finish_reason, "tool_calls")
        same(choice.message.content, TEXT)
        same(choice.message.reasoning_content, THOUGHT)
        same(json.loads(choice.message.tool_calls[0].function.arguments), INPUT)
        return choice.message

    answer = litellm.completion(messages=messages, **asked)
    message = check(answer)
    assert answer.usage.total_tokens > 0
    pieces = list(litellm.completion(
        messages=messages, stream=True, stream_options={"include_usage": True}, **asked))
    streamed = litellm.stream_chunk_builder(pieces, messages=messages)
    check(streamed)
    messages += [message.model_dump(), {
        "role": "tool", "tool_call_id": message.tool_calls[0].id, "content": RESULT}]
    same(litellm.completion(messages=messages, **asked).choices[0].message.content, FINAL)


def litellm_chat(url):
    litellm_with("openai/m", f"{url}/v1")


def litellm_anthropic(url):
    litellm_with("anthropic/m", url)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
    print("fine")
