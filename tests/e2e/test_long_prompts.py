"""A prompt that takes seconds to compute, and a client whose reads give up after one."""

import openai
import pytest
from clients import chat_of
from deployment import Deployment, mock_graph

LONG = [{"role": "user", "content": "x" * 1000}]


def ask(interval):
    """The text of a streamed answer whose prompt takes three seconds."""
    graph = mock_graph({"sse-ping-interval": interval}, {"prefill-us-per-token": 3000, "batch-size": 4096})
    with Deployment(graph=graph) as deployment, openai.OpenAI(
            base_url=deployment.url + "/v1", api_key="none", max_retries=0, timeout=openai.Timeout(60, read=1)) as client:
        return chat_of(client.chat.completions.create(
            model="mock", messages=LONG, max_tokens=4, stream=True, extra_body={"ignore_eos": True}))


def test_comments_keep_a_stream_alive():
    text, reason, _ = ask("400ms")
    assert len(text) == 4 and reason == "length"


def test_without_them_the_client_gives_up():
    with pytest.raises(Exception, match="(?i)time.*out"):
        ask("0s")
