"""One deployment of the demo model on two workers, and the openai client in front of it."""

import pytest
from clients import client_of
from deployment import Deployment, until


@pytest.fixture(scope="session")
def model():
    return "demo"


@pytest.fixture(scope="session")
def deployment(demo_model, model):
    worker = {"model": demo_model, "served-model-name": model, "max-model-len": 2048, "context-length": 8192,
              "block-size": 16, "ServiceArgs": {"workers": 2}}
    with Deployment(graph={"Frontend": {"port": 0}, "LlamaWorker": worker}) as running:
        yield running


@pytest.fixture(scope="session")
def client(deployment):
    with client_of(deployment) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left_running(request):
    """Whatever a test did: afterwards no request runs or waits."""
    yield
    if "deployment" in request.fixturenames:
        running = request.getfixturevalue("deployment")
        until("every slot to be free", running.idle, 20)
