"""What an operator asks of a deployment: probes, metrics, keys, several models at once."""

import concurrent.futures

import openai
import pytest
from clients import chat_of, client_of
from deployment import Deployment, until
from rawhttp import call

HELLO = [{"role": "user", "content": "Say hello to the world."}]


@pytest.mark.smoke
@pytest.mark.parametrize("path", ["/health", "/live", "/ready"])
def test_probes_say_yes(deployment, path):
    answer = call(deployment, "GET", path)
    assert answer.status == 200
    assert answer.body


@pytest.mark.smoke
def test_metrics_are_prometheus_text_and_count(client, deployment, model):
    answer = call(deployment, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    before = deployment.metric("stator_generated_tokens_total", model=model)
    client.chat.completions.create(
        model=model, messages=HELLO, max_tokens=9, temperature=0, extra_body={"ignore_eos": True})
    assert deployment.metric("stator_generated_tokens_total", model=model) == before + 9
    for name, values in deployment.metrics().items():
        assert name.startswith(("stator_", "process_")), name
        if name.endswith("_bucket"):
            assert any(labels["le"] == "+Inf" for labels, _ in values)


def test_api_keys_as_the_client_sees_them(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("the-key\n")
    keys.chmod(0o600)
    with Deployment("--engine", "mock", "--port", "0", "--api-keys", keys) as deployment:
        with client_of(deployment, "the-key") as client:
            model = client.models.list().data[0].id
            assert client.chat.completions.create(model=model, messages=HELLO, max_tokens=2).choices
        with client_of(deployment, "not-the-key") as client, pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model=model, messages=HELLO, max_tokens=2)


def cached_tokens(client, model, text, **fields):
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], max_tokens=2,
                                            temperature=0, extra_body=fields)
    return answer.usage.prompt_tokens_details.cached_tokens


def decisions(deployment, key):
    return call(deployment, "GET", "/stator/requests", headers=[f"authorization: Bearer {key}"]).json()["requests"]


def test_a_key_learns_nothing_of_what_others_asked(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("sk-ada\nsk-bob\nadmin:sk-root\n")
    keys.chmod(0o600)
    text = "The harbour of a town in the north. " * 20
    with Deployment("--engine", "mock", "--workers", 1, "--port", "0", "--api-keys", keys) as deployment:
        with client_of(deployment, "sk-ada") as ada, client_of(deployment, "sk-bob") as bob:
            model = ada.models.list().data[0].id
            assert cached_tokens(ada, model, text) == 0
            assert cached_tokens(bob, model, text) == 0
            assert cached_tokens(ada, model, text) > 100
            assert cached_tokens(bob, model, text) > 100
        seen = {key: decisions(deployment, key) for key in ("sk-ada", "sk-bob", "sk-root")}
        ids = {key: [r["id"] for r in records] for key, records in seen.items()}
        assert len(ids["sk-ada"]) == len(ids["sk-bob"]) == 2
        assert not set(ids["sk-ada"]) & set(ids["sk-bob"])
        assert set(ids["sk-root"]) == set(ids["sk-ada"]) | set(ids["sk-bob"])
        # What the router expected of Bob's first prompt is nothing either.
        assert seen["sk-bob"][-1]["overlap_blocks"] == 0
        path = "/stator/requests/" + ids["sk-ada"][0]
        for key, status in ("sk-ada", 200), ("sk-bob", 404), ("sk-root", 200):
            assert call(deployment, "GET", path, headers=[f"authorization: Bearer {key}"]).status == status


def test_keys_share_prefixes_when_the_operator_says_so(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("sk-ada\nsk-bob\n")
    keys.chmod(0o600)
    text = "A hill behind the harbour of the town. " * 20
    with Deployment("--engine", "mock", "--workers", 1, "--port", "0", "--api-keys", keys,
                    "--Frontend.share-prefixes=true") as deployment:
        with client_of(deployment, "sk-ada") as ada, client_of(deployment, "sk-bob") as bob:
            model = ada.models.list().data[0].id
            assert cached_tokens(ada, model, text) == 0
            assert cached_tokens(bob, model, text) > 100
            assert cached_tokens(bob, model, text, cache_salt="mine") == 0


def test_a_request_may_leave_the_cache_out_or_keep_it_to_itself(client, deployment, model):
    text = "Seven lanterns on a bridge of copper, and one of silver. " * 20
    first, warm = cached_tokens(client, model, text), cached_tokens(client, model, text)
    assert first + 100 < warm  # the first may share what the template puts in front of every chat
    assert cached_tokens(client, model, text, cache_prompt=False) == 0
    assert cached_tokens(client, model, text, cache_salt="one") == 0
    assert cached_tokens(client, model, text, cache_salt="one") == warm
    assert cached_tokens(client, model, text, cache_salt="two") == 0
    assert cached_tokens(client, model, text, cache_salt="two", cache_prompt=False) == 0
    assert cached_tokens(client, model, text) == warm
    assert cached_tokens(client, model, text, deterministic=True) == warm  # the demo model needs no care
    with pytest.raises(openai.BadRequestError, match="cache_salt"):
        cached_tokens(client, model, text, cache_salt="")


def test_two_models_behind_one_frontend(demo_model):
    def worker(name):
        return {"engine": "llama", "model": demo_model, "served-model-name": name, "context-length": 2048, "threads": 1}

    with Deployment(graph={"Frontend": {"port": 0}, "Left": worker("left"), "Right": worker("right")}) as deployment:
        assert len(deployment.workers()) == 2
        with client_of(deployment) as client:
            assert sorted(entry.id for entry in client.models.list().data) == ["left", "right"]
            for name in "left", "right":
                answer = client.chat.completions.create(model=name, messages=HELLO, max_tokens=4, temperature=0)
                assert answer.model == name
                assert deployment.metric("stator_generated_tokens_total", model=name) == 4
            with pytest.raises(openai.NotFoundError, match="(?s)left.*right|right.*left"):
                client.chat.completions.create(model="middle", messages=HELLO)


@pytest.mark.smoke
def test_serve_by_itself_takes_the_demo_model_and_two_workers():
    with Deployment("--port", "0") as deployment:
        assert len(deployment.workers()) == 2
        with client_of(deployment) as client:
            model = client.models.list().data[0].id
            text, reason, _ = chat_of(client.chat.completions.create(
                model=model, messages=HELLO, max_tokens=8, temperature=0, stream=True))
            assert text and reason == "length"


def test_when_kv_runs_out_requests_wait_and_are_computed_again(demo_model):
    """Four answers of some 230 tokens in 512 cells: two fit. Nobody is failed for it."""
    worker = {"model": demo_model, "served-model-name": "demo", "context-length": 512, "max-model-len": 256, "block-size": 16}
    with Deployment(graph={"Frontend": {"port": 0}, "LlamaWorker": worker}) as deployment, client_of(deployment) as client:
        def ask(number):
            return client.completions.create(model="demo", prompt=f"Count from {number}:", max_tokens=220, temperature=0,
                                             extra_body={"ignore_eos": True})

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(ask, range(4)))
        assert [answer.usage.completion_tokens for answer in answers] == [220] * 4
        assert deployment.metric("stator_worker_preemptions") > 0
        until("every slot to be free", deployment.idle, 10)
