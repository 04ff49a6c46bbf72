"""What people do with the openai client, against a real model on two workers."""

import concurrent.futures
import math

import openai
import pytest
from clients import chat_of, tokenize
from deployment import until
from rawhttp import post

HELLO = [{"role": "user", "content": "Say hello to the world."}]
STORY = [{"role": "user", "content": "Tell me a long story about a lighthouse."}]


@pytest.mark.smoke
def test_chat(client, model):
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=16, temperature=0)
    assert answer.object == "chat.completion" and answer.id and answer.model == model
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert "hello" in choice.message.content.lower()
    assert choice.finish_reason in ("stop", "length")
    assert 1 <= answer.usage.completion_tokens <= 16
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.smoke
def test_a_streamed_chat_is_the_same_text(client, model):
    asked = {"model": model, "messages": HELLO, "max_tokens": 24, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    text, reason, usage = chat_of(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert text == whole.choices[0].message.content
    assert reason == whole.choices[0].finish_reason
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert usage.prompt_tokens == whole.usage.prompt_tokens


def test_the_chunks_of_a_stream_belong_together(client, model):
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, max_tokens=8, stream=True))
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.usage is None for chunk in chunks)
    assert sum(bool(chunk.choices and chunk.choices[0].finish_reason) for chunk in chunks) == 1


@pytest.mark.smoke
def test_completions_of_text_and_of_token_ids(client, deployment, model):
    prompt = "The capital of France is"
    asked = {"model": model, "max_tokens": 8, "temperature": 0}
    of_text = client.completions.create(prompt=prompt, **asked)
    assert "Paris" in of_text.choices[0].text
    ids = tokenize(deployment, model, prompt=prompt)["tokens"]
    of_ids = client.completions.create(prompt=ids, **asked)
    assert of_ids.choices[0].text == of_text.choices[0].text
    assert of_ids.usage.prompt_tokens == len(ids) == of_text.usage.prompt_tokens


def test_several_prompts_in_one_request(client, model):
    prompts = ["One, two, three,", "The capital of France is"]
    answer = client.completions.create(model=model, prompt=prompts, max_tokens=4, temperature=0)
    assert [choice.index for choice in answer.choices] == [0, 1]
    for prompt, choice in zip(prompts, answer.choices):
        alone = client.completions.create(model=model, prompt=prompt, max_tokens=4, temperature=0)
        assert choice.text == alone.choices[0].text


def test_a_streamed_completion_is_the_same_text(client, model):
    asked = {"model": model, "prompt": "Once upon a time", "max_tokens": 24, "temperature": 0}
    whole = client.completions.create(**asked)
    chunks = client.completions.create(**asked, stream=True)
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_ends_at_its_limit(client, model, name):
    answer = client.chat.completions.create(model=model, messages=STORY, **{name: 5})
    assert answer.usage.completion_tokens == 5
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("stop", ["five", ["seven", "five"], ", five, s"])
def test_a_stop_string_ends_the_text_and_is_not_in_it(client, model, stop, stream):
    prompt = "one, two, three, four, five, six, seven, eight. one, two, three,"
    asked = {"model": model, "prompt": prompt, "max_tokens": 24, "temperature": 0}
    free = client.completions.create(**asked).choices[0].text
    stops = [stop] if isinstance(stop, str) else stop
    expected = free[: min(free.index(text) for text in stops if text in free)]
    answer = client.completions.create(**asked, stop=stop, stream=stream)
    choices = [choice for chunk in answer for choice in chunk.choices] if stream else answer.choices
    assert "".join(choice.text for choice in choices) == expected
    assert choices[-1].finish_reason == "stop"


def test_logprobs_of_a_chat(client, model):
    answer = client.chat.completions.create(
        model=model, messages=HELLO, max_tokens=6, temperature=0, logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    for token in content:
        values = [top.logprob for top in token.top_logprobs]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert sum(map(math.exp, values)) <= 1.001
        # Greedy: what was chosen is the likeliest.
        assert token.token == token.top_logprobs[0].token
        assert math.isclose(token.logprob, values[0], abs_tol=1e-3)
    said = b"".join(bytes(token.bytes) for token in content).decode(errors="ignore")
    assert answer.choices[0].message.content in said


def test_logprobs_of_a_streamed_chat_are_those_of_the_whole(client, model):
    asked = {"model": model, "messages": HELLO, "max_tokens": 6, "temperature": 0, "logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(**asked).choices[0].logprobs.content
    streamed = [token for chunk in client.chat.completions.create(**asked, stream=True) for choice in chunk.choices
                if choice.logprobs for token in choice.logprobs.content or []]
    assert [token.token for token in streamed] == [token.token for token in whole]


def test_logprobs_of_a_completion(client, model):
    answer = client.completions.create(
        model=model, prompt="The capital of France is", max_tokens=4, temperature=0, logprobs=2)
    found = answer.choices[0].logprobs
    assert len(found.tokens) == len(found.token_logprobs) == len(found.top_logprobs) == len(found.text_offset) == 4
    assert "".join(found.tokens) == answer.choices[0].text
    assert all(len(top) in (2, 3) for top in found.top_logprobs)
    assert found.text_offset == sorted(found.text_offset)


def test_the_token_that_was_drawn_is_among_the_likeliest_of_a_completion(client, model):
    found = client.completions.create(
        model=model, prompt="Once upon a", max_tokens=24, temperature=1.5, seed=3, logprobs=1).choices[0].logprobs
    for token, value, top in zip(found.tokens, found.token_logprobs, found.top_logprobs):
        assert math.isclose(top[token], value, abs_tol=1e-3)
    assert {len(top) for top in found.top_logprobs} == {1, 2}  # drawn freely: not always the likeliest


def test_parts_of_characters_keep_their_own_values(client, model):
    fruit = "Fruit: " + "\U0001F34E \U0001F350 \U0001F34A " * 3
    found = client.completions.create(model=model, prompt=fruit, max_tokens=12, temperature=0, logprobs=2).choices[0].logprobs
    assert any(token.startswith("bytes:\\x") for token in found.tokens)  # or nothing was tried
    for token, value, top in zip(found.tokens, found.token_logprobs, found.top_logprobs):
        assert len(top) in (2, 3)
        assert math.isclose(top[token], value, abs_tol=1e-3)
    # A token stands where the character begins that it begins or goes on with.
    for i, token in enumerate(found.tokens[1:], 1):
        assert 0 <= found.text_offset[i] - found.text_offset[i - 1] <= max(1, len(found.tokens[i - 1]))


def test_the_likeliest_none_are_the_token_itself(client, model):
    found = client.completions.create(
        model=model, prompt="Once upon a", max_tokens=3, temperature=0, logprobs=0).choices[0].logprobs
    assert found.top_logprobs == [{token: value} for token, value in zip(found.tokens, found.token_logprobs)]


def test_a_template_applied_by_the_client_is_the_chat(client, deployment, model):
    raw = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n"
    chat = tokenize(deployment, model, messages=[{"role": "system", "content": "Be brief."},
                                                 {"role": "user", "content": "Name a colour."}])["tokens"]
    asked = {"model": model, "max_tokens": 12, "temperature": 0}
    answer = client.completions.create(prompt=raw, **asked)
    assert answer.usage.prompt_tokens == len(chat)
    assert answer.choices[0].text == client.completions.create(prompt=chat, **asked).choices[0].text
    as_text = client.completions.create(prompt=raw, **asked, extra_body={"parse_special": False})
    assert as_text.usage.prompt_tokens > len(chat) + 10


def test_a_prompt_that_is_too_long_says_so_in_the_words_clients_look_for(client, model):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=model, max_tokens=10,
                                       messages=[{"role": "user", "content": "one two three four " * 4000}])
    assert refused.value.code == "context_length_exceeded"
    assert "this model's maximum context length is" in str(refused.value).lower()


def test_the_last_text_of_a_stream_brings_the_reason(client, model):
    chunks = list(client.chat.completions.create(
        model=model, messages=STORY, max_tokens=6, temperature=0, stream=True, extra_body={"ignore_eos": True}))
    assert chunks[-1].choices[0].finish_reason == "length"
    assert chunks[-1].choices[0].delta.content


def test_no_limit_and_tools_that_are_not_to_be_called(client, model):
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    answer = client.chat.completions.create(model=model, messages=HELLO, temperature=0, tools=[tool], tool_choice="none",
                                            max_tokens=2147483647, stop=["."])
    assert answer.choices[0].message.content and not answer.choices[0].message.tool_calls


def test_two_choices_of_one_prompt(client, model):
    answer = client.chat.completions.create(model=model, messages=STORY, n=2, max_tokens=16, temperature=1, seed=7)
    assert sorted(choice.index for choice in answer.choices) == [0, 1]
    first, second = (choice.message.content for choice in answer.choices)
    assert first != second
    alone = client.chat.completions.create(model=model, messages=STORY, max_tokens=1)
    assert answer.usage.prompt_tokens == alone.usage.prompt_tokens
    assert 16 <= answer.usage.completion_tokens <= 32


def test_two_streamed_choices(client, model):
    texts = {0: "", 1: ""}
    ends = {}
    for chunk in client.chat.completions.create(
            model=model, messages=STORY, n=2, max_tokens=12, temperature=1, seed=7, stream=True):
        for choice in chunk.choices:
            assert choice.index not in ends
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                ends[choice.index] = choice.finish_reason
    assert texts[0] and texts[1] and texts[0] != texts[1]
    assert ends.keys() == {0, 1}


def test_a_prompt_sent_twice_in_one_request_is_two_samples(client, model):
    answer = client.completions.create(model=model, prompt=["Once upon a time"] * 2, max_tokens=12)
    assert answer.choices[0].text != answer.choices[1].text


def test_a_seed_makes_a_sampled_answer_repeatable(client, model):
    def ask(seed):
        answer = client.chat.completions.create(model=model, messages=STORY, max_tokens=16, temperature=0.9, seed=seed)
        return answer.choices[0].message.content

    assert ask(11) == ask(11)
    assert len({ask(seed) for seed in range(1, 5)}) > 1


def test_without_a_seed_answers_differ(client, model):
    answers = [client.chat.completions.create(model=model, messages=STORY, max_tokens=16, temperature=1.2) for _ in range(4)]
    assert len({answer.choices[0].message.content for answer in answers}) > 1


def test_a_conversation_reuses_what_was_computed(client, model):
    """Each turn repeats the ones before it; on a worker that saw one of them its cells are still there."""
    messages = [{"role": "system", "content": "You teach geography and answer in one short sentence. " * 4}]
    cached = []
    for question in ("What is a river?", "And a lake?", "And an ocean?", "Which is the largest?", "Why?", "Since when?"):
        messages.append({"role": "user", "content": question})
        answer = client.chat.completions.create(model=model, messages=messages, max_tokens=12, temperature=0)
        messages.append({"role": "assistant", "content": answer.choices[0].message.content})
        cached.append(answer.usage.prompt_tokens_details.cached_tokens)
        assert cached[-1] < answer.usage.prompt_tokens
    # Six turns on two workers: on one of them at least the third one, which finds two turns computed.
    assert max(cached) >= 48, cached
    assert max(cached) > min(count for count in cached if count), cached


def test_eight_clients_at_once(client, model):
    def ask(number):
        return chat_of(client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": f"Count upwards from {number}."}], max_tokens=20,
            temperature=0, stream=True, stream_options={"include_usage": True}))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(10, 18)))
    for text, reason, usage in answers:
        assert text and reason in ("stop", "length")
        assert usage.completion_tokens <= 20


@pytest.mark.smoke
def test_leaving_in_mid_stream_frees_the_slot(client, deployment, model):
    stream = client.chat.completions.create(
        model=model, messages=STORY, max_tokens=1500, stream=True, extra_body={"ignore_eos": True})
    for _, chunk in zip(range(3), stream):
        assert chunk.choices
    assert deployment.running() == 1
    stream.close()
    until("the slot to be free", deployment.idle, 10)


def test_ignore_eos_and_min_tokens(client, model):
    asked = {"model": model, "messages": HELLO, "max_tokens": 60, "temperature": 0}
    answer = client.chat.completions.create(**asked, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 60
    answer = client.chat.completions.create(**asked, extra_body={"min_tokens": 40})
    assert 40 <= answer.usage.completion_tokens <= 60


def test_logit_bias_forbids_a_token(client, deployment, model):
    prompt = "The capital of France is"
    banned = tokenize(deployment, model, prompt=" Paris")["tokens"]
    answer = client.completions.create(
        model=model, prompt=prompt, max_tokens=6, temperature=0, logit_bias={str(token): -100 for token in banned})
    assert "Paris" not in answer.choices[0].text


def test_all_samplers_together(client, model):
    asked = {"model": model, "prompt": "Once", "max_tokens": 8, "temperature": 0.8, "top_p": 0.9, "seed": 3,
             "presence_penalty": 0.5, "frequency_penalty": 0.5,
             "extra_body": {"top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1, "typical_p": 0.95}}
    first, second = (client.completions.create(**asked).choices[0].text for _ in range(2))
    assert first == second


def test_top_k_of_one_is_greedy(client, model):
    asked = {"model": model, "prompt": "Once upon a time", "max_tokens": 12}
    greedy = client.completions.create(**asked, temperature=0).choices[0].text
    assert client.completions.create(**asked, temperature=1, extra_body={"top_k": 1}).choices[0].text == greedy


def test_characters_of_several_tokens_are_never_cut(client, model):
    prompt = "日本語 русский 😀😀😀 日本語 русский 😀😀😀 日本語"
    asked = {"model": model, "prompt": prompt, "max_tokens": 40, "temperature": 0}
    text = "".join(choice.text for chunk in client.completions.create(**asked, stream=True) for choice in chunk.choices)
    assert text == client.completions.create(**asked).choices[0].text
    # Only the last one may be what the model had no tokens left to finish.
    assert "\ufffd" not in text[:-1]
    assert not text.isascii()


def test_the_parts_of_a_message_are_joined(client, model):
    parts = [{"type": "text", "text": "Say hello "}, {"type": "text", "text": "to the world."}]
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": parts}], max_tokens=8, temperature=0)
    assert "hello" in answer.choices[0].message.content.lower()


def test_models_are_listed(client, model):
    listed = client.models.list().data
    assert [entry.id for entry in listed] == [model]
    assert listed[0].object == "model"


def test_errors_as_the_client_sees_them(client, model):
    with pytest.raises(openai.BadRequestError, match="messages"):
        client.chat.completions.create(model=model, messages=[])
    with pytest.raises(openai.BadRequestError, match="temperature") as caught:
        client.chat.completions.create(model=model, messages=HELLO, temperature=-3)
    assert caught.value.param == "temperature"
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError, match=f"(?s)no-such-model.*{model}") as caught:
        client.chat.completions.create(model="no-such-model", messages=HELLO)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match=r"2,?048") as caught:
        client.completions.create(model=model, prompt="word " * 3000)
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("text", ["hello world", "日本語 😀", "  spaces\n\n\ttabs", "x" * 1000, ""])
def test_tokenize_and_detokenize_are_inverse(deployment, model, text):
    found = tokenize(deployment, model, prompt=text)
    assert found["count"] == len(found["tokens"])
    assert found["max_model_len"] == 2048
    back = post(deployment, "/detokenize", {"model": model, "tokens": found["tokens"]})
    assert back.status == 200, back.text
    assert back.json()["prompt"] == text


def test_a_chat_is_as_long_as_tokenize_says(client, deployment, model):
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=1)
    assert answer.usage.prompt_tokens == tokenize(deployment, model, messages=HELLO)["count"]


def test_the_headers_of_an_answer_carry_the_request_id(client, model):
    answer = client.chat.completions.with_raw_response.create(
        model=model, messages=HELLO, max_tokens=1,
        extra_headers={"x-request-id": "my-own-id",
                       "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    assert answer.headers["x-request-id"] == "my-own-id"
    assert answer.parse().choices
