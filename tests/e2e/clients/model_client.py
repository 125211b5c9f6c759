"""Calls a model with its maker's own client: `model_client.py WHAT BASE-URL KEY MODEL`. It prints, as JSON, the text that
came, how many tokens the client read, and the error's status and message if there was one."""

import json
import sys

import anthropic
import openai

what, base, key, model = sys.argv[1:5]
MESSAGES = [{"role": "user", "content": "hello"}]


def chat(client):
    done = client.chat.completions.create(model=model, messages=MESSAGES)
    return done.choices[0].message.content, done.usage.total_tokens


def chat_stream(client):
    text, tokens = "", None
    for chunk in client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
        if chunk.usage:
            tokens = chunk.usage.total_tokens
    return text, tokens


def responses(client):
    done = client.responses.create(model=model, input="hello")
    return done.output_text, done.usage.total_tokens


def messages(client):
    done = client.messages.create(model=model, max_tokens=64, messages=MESSAGES)
    return done.content[0].text, done.usage.input_tokens + done.usage.output_tokens


def messages_stream(client):
    with client.messages.stream(model=model, max_tokens=64, messages=MESSAGES) as stream:
        text = "".join(stream.text_stream)
        usage = stream.get_final_message().usage
    return text, usage.input_tokens + usage.output_tokens


def chat_spelled(client):
    text = ""
    with client.chat.completions.stream(model=model, messages=MESSAGES) as stream:
        for event in stream:
            if event.type == "content.delta":
                text += event.delta
        done = stream.get_final_completion()
    said = done.choices[0].message
    assert said.content == text
    return text + " " + said.tool_calls[0].function.arguments, done.usage.total_tokens


def responses_spelled(client):
    said = {"response.output_text.delta": "", "response.function_call_arguments.delta": ""}
    with client.responses.stream(model=model, input="hello") as stream:
        for event in stream:
            if event.type in said:
                said[event.type] += event.delta
        usage = stream.get_final_response().usage
    return " ".join(said.values()), usage.total_tokens


def messages_spelled(client):
    text, partial = "", ""
    with client.messages.stream(model=model, max_tokens=64, messages=MESSAGES) as stream:
        for event in stream:
            if event.type == "text":
                text += event.text
            if event.type == "input_json":
                partial += event.partial_json
        done = stream.get_final_message()
    assert done.content[0].text == text and done.content[1].input == json.loads(partial)
    return text + " " + partial, done.usage.input_tokens + done.usage.output_tokens


def models(client):
    return ",".join(one.id for one in client.models.list()), None


plain = lambda: openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0)
azure = lambda: openai.AzureOpenAI(
    azure_endpoint=base, api_key=key, api_version="2024-10-21", max_retries=0
)
claude = lambda: anthropic.Anthropic(base_url=base, api_key=key, max_retries=0)
WAYS = {
    "openai": (plain, chat),
    "openai-stream": (plain, chat_stream),
    "openai-responses": (plain, responses),
    "openai-spelled": (plain, chat_spelled),
    "openai-responses-spelled": (plain, responses_spelled),
    "openai-models": (plain, models),
    "azure": (azure, chat),
    "azure-stream": (azure, chat_stream),
    "anthropic": (claude, messages),
    "anthropic-stream": (claude, messages_stream),
    "anthropic-spelled": (claude, messages_spelled),
    "anthropic-models": (claude, models),
}
client, ask = WAYS[what]
try:
    text, tokens = ask(client())
    print(json.dumps({"text": text, "tokens": tokens}))
except (openai.APIStatusError, anthropic.APIStatusError) as error:
    print(json.dumps({"status": error.status_code, "kind": type(error).__name__, "body": error.body}))
