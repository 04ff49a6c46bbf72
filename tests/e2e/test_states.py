"""Models whose state cannot go back: a conversation is kept from turn to turn, and the answers are those of a fresh worker."""

import subprocess
import sys

import pytest
from clients import client_of
from deployment import ROOT, Deployment, until

# What a turn may compute again: a block of the prefix cache, and what the template puts behind the last message.
TAIL = 16 + 8
TURNS = 4


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A path of a tiny model of some architecture."""
    folder = tmp_path_factory.mktemp("tiny")

    def make(kind):
        path = folder / f"{kind}.gguf"
        if not path.exists():
            subprocess.run([sys.executable, ROOT / "tests/tiny_model.py", kind, path], check=True)
        return path

    return make


def serve(path):
    worker = {"model": str(path), "served-model-name": "tiny", "context-length": 4096, "threads": 1, "ServiceArgs": {"workers": 1}}
    return Deployment(graph={"Frontend": {"port": 0}, "LlamaWorker": worker})


def ask(client, messages, **options):
    return client.chat.completions.create(model="tiny", messages=messages, max_tokens=12, temperature=0,
                                          extra_body={"ignore_eos": True}, **options)


def cached(answer):
    return answer.usage.prompt_tokens_details.cached_tokens


@pytest.mark.parametrize("kind", ["mamba2", "granite", "qwen35"])
def test_a_conversation_is_computed_once(tiny, kind):
    messages = [{"role": "system", "content": "Answer in the manner of a ship's log. " * 12}]
    turns = []
    with serve(tiny(kind)) as deployment, client_of(deployment) as client:
        assert "recurrent states" in deployment.output
        before = 0
        for turn in range(TURNS):
            messages = messages + [{"role": "user", "content": f"Day {turn}: what did you see from the deck, and who was there?"}]
            answer = ask(client, messages)
            assert cached(answer) >= before - TAIL, f"turn {turn}: {cached(answer)} of a prompt that begins with {before} tokens"
            assert cached(answer) < answer.usage.prompt_tokens
            before = answer.usage.prompt_tokens
            turns.append((messages, answer.choices[0].message.content))
            messages = messages + [{"role": "assistant", "content": answer.choices[0].message.content}]
        # Another try of the last turn, and another last message.
        again = ask(client, turns[-1][0])
        assert cached(again) >= before - TAIL
        assert again.choices[0].message.content == turns[-1][1]
        edited = ask(client, turns[-1][0][:-1] + [{"role": "user", "content": "No, tell me of the weather."}])
        assert cached(edited) > before / 2
    for messages, text in turns:
        with serve(tiny(kind)) as deployment, client_of(deployment) as client:
            answer = ask(client, messages)
            assert cached(answer) == 0
            assert answer.choices[0].message.content == text
            if messages is turns[1][0]:
                break  # two are enough: a start takes a second


@pytest.mark.parametrize("kind", ["lfm2"])
def test_choices_of_one_prompt_share_it(tiny, kind):
    messages = [{"role": "user", "content": "One hundred and twenty words of nothing in particular. " * 8}]
    with serve(tiny(kind)) as deployment, client_of(deployment) as client:
        before = deployment.metric("stator_prompt_tokens_total", model="tiny")
        answer = ask(client, messages, n=4)
        prompt = answer.usage.prompt_tokens
        assert len({choice.message.content for choice in answer.choices}) == 1
        assert deployment.metric("stator_prompt_tokens_total", model="tiny") >= before + prompt
        until("every slot to be free", deployment.idle, 20)
