"""The S3 servers: SeaweedFS, moto and s3rver, each with two buckets. moto checks no keys; s3rver ignores conditions of writes."""

import json
import shutil
import socket
import sys
import urllib.error
import urllib.request

from .case import MOTO, S3RVER, SEAWEEDFS
from .processes import free_ports, wait_until

BUCKET, PRODUCTION = "models", "production"
REGION = "us-east-1"
# The host name under which SeaweedFS knows buckets as parts of host names.
DOMAIN = "store.test"


class Store:
    """A server with the keys that open it. `client` puts what no program of Onnward would."""

    name, access_key, secret_key = "", "the-access-key", "the-secret-key"
    checks_keys, honours_conditions = False, True

    def __init__(self, processes, folder, tools):
        self.processes, self.folder, self.tools = processes, folder, tools
        self.process = self.port = None

    @classmethod
    def missing(cls, tools):
        """Returns why the store cannot run here, or None."""
        raise NotImplementedError

    def start(self):
        import boto3

        self.folder.mkdir(parents=True)
        self.launch()
        config = boto3.session.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, max_pool_connections=16)
        self.client = boto3.client("s3", endpoint_url=self.url, aws_access_key_id=self.access_key, region_name=REGION,
                                   aws_secret_access_key=self.secret_key, config=config)
        for bucket in (BUCKET, PRODUCTION):
            if not wait_until(lambda bucket=bucket: self.create(bucket), 30, 0.5):
                raise SystemExit(f"{self.name} makes no bucket, see {self.folder}/log")

    def create(self, bucket):
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.client.create_bucket(Bucket=bucket)
            self.client.list_objects_v2(Bucket=bucket)
        except ClientError as error:
            return error.response["Error"]["Code"] in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou")
        except BotoCoreError:
            return False
        return True

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def environment(self, url=None):
        """Returns the variables with which a program reaches the store, or what is before it."""
        return {"AWS_ENDPOINT_URL": url or self.url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": REGION,
                "AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def put(self, key, data=b""):
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def get(self, key):
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def delete(self, key):
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def keys(self, prefix):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def listens(self, seconds=40):
        def answers():
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True

        if not wait_until(answers, seconds, 0.1) or self.process.poll() is not None:
            raise SystemExit(f"{self.name} does not start, see {self.folder}/log")


class SeaweedFs(Store):
    name, checks_keys = SEAWEEDFS, True
    reader_key = "the-reader-key"

    @classmethod
    def missing(cls, tools):
        return None if (tools / "seaweedfs/bin/weed").exists() else "SeaweedFS cannot be fetched for this machine"

    def launch(self):
        identities = [self.identity("operator", self.access_key, ["Admin", "Read", "Write", "List"]),
                      self.identity("reader", self.reader_key, ["Read", "List"])]
        (self.folder / "s3.json").write_text(json.dumps({"identities": identities}), encoding="utf-8")
        names = ["s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
                 "filer.port.grpc"]
        ports = dict(zip(names, free_ports(len(names)), strict=True), **{"s3.port.iceberg": 0, "s3.port.lance": 0})
        self.port = ports["s3.port"]
        command = [self.tools / "seaweedfs/bin/weed", "server", "-dir=.", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
                   "-s3.config=s3.json", f"-s3.domainName={DOMAIN}", "-volume.max=40", "-master.volumeSizeLimitMB=64",
                   *(f"-{name}={port}" for name, port in ports.items())]
        self.process = self.processes.start(command, self.folder / "log", cwd=self.folder)
        if not wait_until(self.is_healthy, 40, 0.1):
            raise SystemExit(f"SeaweedFS does not start, see {self.folder}/log")

    def identity(self, name, access_key, actions):
        return {"name": name, "credentials": [{"accessKey": access_key, "secretKey": self.secret_key}], "actions": actions}

    def is_healthy(self):
        try:
            return urllib.request.urlopen(f"{self.url}/healthz", timeout=2).status == 200
        except urllib.error.URLError:
            return False


class Moto(Store):
    name = MOTO

    @classmethod
    def missing(cls, tools):
        return None if (tools / "operations-tools/moto").exists() else "moto cannot be installed"

    def launch(self):
        (self.port,) = free_ports(1)
        program = "from moto.server import main; main()"
        self.process = self.processes.start([sys.executable, "-c", program, "-H", "127.0.0.1", "-p", self.port], self.folder / "log")
        self.listens()


class S3rver(Store):
    name, access_key, secret_key = S3RVER, "S3RVER", "S3RVER"
    honours_conditions = False

    @classmethod
    def missing(cls, tools):
        if not shutil.which("node"):
            return "there is no node (Debian: nodejs)"
        return None if cls.script(tools).exists() else "s3rver cannot be installed: there is no npm (Debian: npm)"

    @staticmethod
    def script(tools):
        return tools / "operations/node_modules/s3rver/bin/s3rver.js"

    def launch(self):
        (self.port,) = free_ports(1)
        (self.folder / "data").mkdir()
        command = ["node", self.script(self.tools), "--directory", self.folder / "data", "--address", "127.0.0.1", "--port", self.port,
                   "--allow-mismatched-signatures", "--silent"]
        self.process = self.processes.start(command, self.folder / "log", cwd=self.folder)
        self.listens()


STORES = {store.name: store for store in (SeaweedFs, Moto, S3rver)}
