"""Files of a repository that scripts and hands write."""

import hashlib
import json
import shutil
from pathlib import Path


class Files:
    """Writes a repository's files past the exporter, as scripts and hands do."""

    def __init__(self, bed):
        self.bed = bed

    def write(self, name, data):
        if self.bed.store is not None:
            return self.bed.store.put(f"{self.bed.prefix}/{name}", data)
        path = Path(self.bed.location) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.write_bytes(data)

    def read(self, name):
        if self.bed.store is not None:
            return self.bed.store.get(f"{self.bed.prefix}/{name}")
        return (Path(self.bed.location) / name).read_bytes()

    def remove_version(self, model, version):
        if self.bed.store is None:
            return shutil.rmtree(Path(self.bed.location) / model / str(version))
        for key in self.bed.store.keys(f"{self.bed.prefix}/{model}/{version}/"):
            self.bed.store.delete(key)
        return None

    def write_broken_version(self, model, version):
        """Writes a version whose manifest is right and whose file is no model."""
        data = self.read(f"{model}/1/model.onnx")[:5000]
        manifest = json.loads(self.read(f"{model}/1/manifest.json"))
        manifest.update(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        self.write(f"{model}/{version}/model.onnx", data)
        self.write(f"{model}/{version}/manifest.json", json.dumps(manifest).encode())
