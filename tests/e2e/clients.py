"""The openai client, and the endpoints it does not know."""

import openai
from rawhttp import post


def client_of(deployment, key="none"):
    return openai.OpenAI(base_url=deployment.url + "/v1", api_key=key, max_retries=0, timeout=100)


def tokenize(deployment, model, **body):
    """The answer of /tokenize to {"prompt": TEXT} or {"messages": [...]}."""
    answer = post(deployment, "/tokenize", {"model": model, **body})
    assert answer.status == 200, answer.text
    return answer.json()


def chat_of(stream):
    """Text, finish reason and usage of a streamed chat with one choice."""
    text, reason, usage = "", None, None
    for chunk in stream:
        assert reason is None or not chunk.choices, "a chunk with a choice after the end"
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
        usage = chunk.usage or usage
    return text, reason, usage
