"""Puts models into a registry that takes them, such as the site mirror's own: manifests byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from urllib.parse import urljoin

import httpx

from reaper_ops.adapters.registry import ACCEPT, TIMEOUT, RegistryError
from reaper_ops.core.delivery.names import Name

REFUSED = frozenset({401, 403, 404, 405})
STEP = (
    "a mirror takes pushes from mirror_push_allow, into mirror_own_namespaces, or into all with `mirror_upstream: none`"
)


class Push:
    """One registry; `tell` gets the number of bytes as they leave."""

    def __init__(self, base_url: str, tell: Callable[[str, int], None]) -> None:
        self.base_url, self.tell = base_url.rstrip("/"), tell
        self._client = httpx.Client(timeout=TIMEOUT, headers={"User-Agent": "reaper_ops"}, trust_env=False)

    def blob(self, name: Name, digest: str, size: int, parts: Callable[[], Iterable[bytes]]) -> None:
        url = name.blob_url(self.base_url, digest)
        if self._asked("HEAD", url).status_code == 200:
            self.tell(digest, size)
            return
        begun = self._asked("POST", f"{self.base_url}/v2/{name.namespace}/{name.model}/blobs/uploads/")
        self._expect(begun, 202, name)
        place = httpx.URL(urljoin(str(begun.url), begun.headers.get("location", "")))
        target = place.copy_merge_params({"digest": digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._expect(self._asked("PUT", str(target), self._counted(digest, parts()), headers), 201, name)

    def manifest(self, name: Name, data: bytes) -> bool:
        """Whether it was another one before. What is there afterwards has the same bytes."""
        url = name.manifest_url(self.base_url)
        before = self._asked("GET", url, headers={"Accept": ACCEPT})
        if before.status_code == 200 and before.content == data:
            return False
        kind = str(json.loads(data).get("mediaType") or ACCEPT)
        self._expect(self._asked("PUT", url, data, {"Content-Type": kind}), 201, name)
        after = self._asked("GET", url, headers={"Accept": ACCEPT})
        if after.content != data:
            raise RegistryError(url, "gives other bytes than were put there", "look at what answers there")
        return True

    def close(self) -> None:
        self._client.close()

    def _counted(self, digest: str, parts: Iterable[bytes]) -> Iterable[bytes]:
        for part in parts:
            yield part
            self.tell(digest, len(part))

    def _asked(
        self,
        method: str,
        url: str,
        content: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        try:
            return self._client.request(method, url, content=content, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RegistryError(url, f"gives no whole answer ({error})", "run again; what is there is kept") from None

    def _expect(self, answer: httpx.Response, status: int, name: Name) -> None:
        if answer.status_code == status:
            return
        step = STEP if answer.status_code in REFUSED else "see the log of the registry"
        raise RegistryError(str(answer.url.copy_with(query=None)), f"says {answer.status_code} to {name.short}", step)
