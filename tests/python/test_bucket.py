"""Objects in an S3-compatible store: the content is there and nowhere else, and outlives a killed server."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config

from pinfold import Client, errors
from pinfold.types import LinkUse, ObjectState
from support.server import Server, until

BUCKET, PREFIX = "contents", "pinfold/objects"
MIB = 1 << 20


class Bucket:
    """An S3 server on a free port with one bucket, and a look into it that is not ours."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = {"AWS_ACCESS_KEY_ID": "an-id", "AWS_SECRET_ACCESS_KEY": "a-secret"}
        config = Config(proxies={}, retries={"max_attempts": 1})
        self.s3 = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"],
            config=config,
        )
        self.s3.create_bucket(Bucket=BUCKET)

    @property
    def environment(self) -> dict[str, str]:
        return {**self.keys, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": self.url}

    def sizes(self) -> list[int]:
        """Of the blobs under the prefix."""
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX).get("Contents", [])
        return [entry["Size"] for entry in listed]


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    log = tmp_path / "moto.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"],
            stdout=out,
            stderr=out,
        )
    try:
        url = until(lambda: _url(log.read_text()), "the S3 server says where it listens")
        yield Bucket(url)
    finally:
        process.kill()
        process.wait()


def _url(log: str) -> str | None:
    said = [word for word in log.split() if word.startswith("http://127.0.0.1:")]
    return said[0] if said else None


def test_objects_live_in_the_bucket_alone(tmp_path: Path, bucket: Bucket) -> None:
    options = ("--objects", f"s3://{BUCKET}/{PREFIX}")
    server = Server(tmp_path / "server", *options, environment=bucket.environment).start()
    small, large = b"a text", os.urandom(21 * MIB)
    with Client(server.url, server.key) as client:
        text = client.objects.put("text", small)
        # More than one part of an upload in parts, and no multiple of any part's size.
        pieces = [large[at : at + 999_983] for at in range(0, len(large), 999_983)]
        blob = client.objects.put("blob", iter(pieces))
        assert blob.digest == "sha256:" + hashlib.sha256(large).hexdigest()
        assert sorted(bucket.sizes()) == [len(small), len(large)]
        assert client.objects.read(text.id) == small
        assert client.objects.read(blob.id, offset=5 * MIB - 7, length=14) == large[5 * MIB - 7 : 5 * MIB + 7]
        link = client.objects.url(blob.id, LinkUse.DOWNLOAD)
        assert httpx.get(link.url, trust_env=False).content == large
    kept = [path for path in (server.data / "objects").rglob("*") if path.is_file()]
    assert kept == []

    server.kill()
    server.start()
    with Client(server.url, server.key) as client:
        assert client.objects.read(blob.id) == large
        assert client.objects.delete(text.id).state is ObjectState.DELETED
        with pytest.raises(errors.PinfoldError):
            client.objects.read(text.id)
        until(lambda: bucket.sizes() == [len(large)], "the content of the deleted one is gone")
        # Somebody else's hand in the bucket is told as it is, and not as an empty content.
        for entry in bucket.s3.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX)["Contents"]:
            bucket.s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
        with pytest.raises(errors.PinfoldError):
            client.objects.read(blob.id)
    server.stop()
    assert bucket.keys["AWS_SECRET_ACCESS_KEY"] not in server.log(1 << 20)


def test_a_store_that_does_not_answer_is_told_at_the_start(tmp_path: Path, bucket: Bucket) -> None:
    options = ("--objects", "s3://no-such-bucket")
    server = Server(tmp_path / "server", *options, environment=bucket.environment)
    with pytest.raises(AssertionError):
        server.start()
    assert "no-such-bucket" in server.log() and bucket.keys["AWS_SECRET_ACCESS_KEY"] not in server.log()
    assert str(server.data) not in Path("/proc/mounts").read_text()
