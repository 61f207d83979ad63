"""The S3 store of the local cluster, as the product's own client sees it from the host."""

from __future__ import annotations

import functools
import socket
import urllib.parse
import uuid
from collections.abc import Callable
from pathlib import Path

import botocore.session
import pytest
import tenacity
from botocore.config import Config
from botocore.exceptions import ClientError
from s3fs import S3FileSystem

from localcluster import store as local_store

pytestmark = pytest.mark.cluster
Open = Callable[[local_store.Access], S3FileSystem]


@pytest.fixture(scope="module")
def opened(store: Path) -> Open:
    """Opens the read or the write endpoint; listings are never remembered."""

    @functools.cache
    def connect(access: local_store.Access) -> S3FileSystem:
        key = local_store.credentials(access)
        return _open(key, local_store.host_endpoint(access))

    return connect


@pytest.fixture(scope="module", autouse=True)
def answering(store: Path) -> None:
    """Both endpoints answer: other tests have killed what leads to them."""
    for access in ("read", "write"):
        address = urllib.parse.urlsplit(local_store.host_endpoint(access))
        for attempt in tenacity.Retrying(
            stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(0.2), reraise=True
        ):
            with attempt, socket.create_connection((address.hostname, address.port), timeout=2):
                pass


def _open(key: dict[str, str], endpoint: str) -> S3FileSystem:
    opened = S3FileSystem(
        key=key["accessKeyId"],
        secret=key["secretAccessKey"],
        endpoint_url=endpoint,
        client_kwargs={"region_name": key["region"]},
        config_kwargs={"retries": {"max_attempts": 1}},
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    opened.retries = 1
    return opened


def test_what_one_endpoint_wrote_the_other_serves_when_its_folders_are_a_tenth_of_a_second_old(opened: Open) -> None:
    path = f"models/{uuid.uuid4().hex}/weights.bin"
    for content in (b"first" * 1000, b"second, and of another length"):
        opened("write").pipe_file(path, content)
        _soon(lambda: opened("read").cat_file(path), content)
    opened("write").rm(path)
    _soon(lambda: opened("read").exists(path), False)


def _soon(look: Callable[[], object], wanted: object) -> None:
    """Assert that `look` gives `wanted`, within ten seconds."""
    trying = tenacity.Retrying(stop=tenacity.stop_after_delay(10), wait=tenacity.wait_fixed(0.05), reraise=True)
    for attempt in trying:
        with attempt:
            assert look() == wanted


def test_a_large_file_arrives_whole_and_its_listing_has_a_checksum(opened: Open) -> None:
    path = f"artifacts/{uuid.uuid4().hex}/model.onnx"
    content = bytes(range(256)) * (1 << 16)
    with opened("write").open(path, "wb", block_size=5 << 20) as sink:
        sink.write(content)
    assert opened("read").cat_file(path) == content
    assert opened("read").info(path)["ETag"]


def test_the_read_endpoint_takes_no_write(store: Path) -> None:
    key = local_store.credentials("read")
    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=local_store.host_endpoint("read"),
        region_name=key["region"],
        aws_access_key_id=key["accessKeyId"],
        aws_secret_access_key=key["secretAccessKey"],
        config=Config(retries={"max_attempts": 5}),  # of what was not reached: a refusal is an answer
    )
    with pytest.raises(ClientError):
        client.put_object(Bucket="models", Key=uuid.uuid4().hex, Body=b"no")


def test_the_write_endpoint_refuses_the_read_key(store: Path) -> None:
    with pytest.raises(PermissionError):
        _open(local_store.credentials("read"), local_store.host_endpoint("write")).pipe_file(
            f"models/{uuid.uuid4().hex}", b"no"
        )
