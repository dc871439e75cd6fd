"""Puts models into a registry that takes them, such as the site mirror's own: manifests byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import httpx

from reaper_ops.adapters import web
from reaper_ops.adapters.registry import ACCEPT, TIMEOUT, RegistryError
from reaper_ops.core import typed
from reaper_ops.core.models.names import ModelName

REFUSED = frozenset({401, 403, 404, 405})
STEP = (
    "a mirror takes pushes from mirror_push_allow, into mirror_own_namespaces, or into all with `mirror_upstream: none`"
)


class RegistryPush:
    """One registry; `tell` gets the number of bytes as they leave."""

    def __init__(self, base_url: str, tell: Callable[[str, int], None]) -> None:
        self.base_url, self.tell = base_url.rstrip("/"), tell
        self._web = web.Web("reaper_ops", TIMEOUT, trust_env=False)

    def blob(self, name: ModelName, digest: str, size: int, parts: Callable[[], Iterable[bytes]]) -> None:
        url = name.blob_url(self.base_url, digest)
        if self._asked("HEAD", url).status == 200:
            self.tell(digest, size)
            return
        begun = self._asked("POST", f"{self.base_url}/v2/{name.namespace}/{name.model}/blobs/uploads/")
        self._expect(begun, 202, name)
        target = httpx.URL(self._place(begun)).copy_merge_params({"digest": digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._expect(self._asked("PUT", str(target), self._counted(digest, parts()), headers), 201, name)

    def manifest(self, name: ModelName, data: bytes) -> bool:
        """Whether it was another one before. What is there afterwards has the same bytes."""
        url = name.manifest_url(self.base_url)
        before = self._asked("GET", url, headers={"Accept": ACCEPT})
        if before.status == 200 and before.body == data:
            return False
        kind = str(typed.layers(data)[1] or ACCEPT)
        self._expect(self._asked("PUT", url, data, {"Content-Type": kind}), 201, name)
        after = self._asked("GET", url, headers={"Accept": ACCEPT})
        if after.body != data:
            raise RegistryError(url, "gives other bytes than were put there", "look at what answers there")
        return True

    def close(self) -> None:
        self._web.close()

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
    ) -> web.WebAnswer:
        try:
            return self._web.ask(method, url, headers, content=content, limit=typed.MANIFEST)
        except web.Distrusted as error:
            raise RegistryError(url, str(error), "look at what answers there") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RegistryError(
                url, f"sends no complete answer ({error})", "run again; what is there is kept"
            ) from None

    def _place(self, begun: web.WebAnswer) -> str:
        """Where the bytes go: at the registry itself."""
        try:
            return web.allowed(begun.url, begun.headers.get("location", ""))
        except web.Distrusted as error:
            raise RegistryError(begun.url, str(error), "look at what answers there") from None

    def _expect(self, answer: web.WebAnswer, status: int, name: ModelName) -> None:
        if answer.status == status:
            return
        step = STEP if answer.status in REFUSED else "see the log of the registry"
        raise RegistryError(
            str(httpx.URL(answer.url).copy_with(query=None)), f"answers {answer.status} to {name.short}", step
        )
