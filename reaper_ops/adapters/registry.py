"""The one door to model registries: manifests byte for byte, sizes of blobs. TLS is verified."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from reaper_ops import __version__
from reaper_ops.core.delivery.names import Name
from reaper_ops.errors import CommandError

ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"
LIMIT = 8 << 20
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
SAID = {
    401: ("wants credentials", "check the name; a private model needs the key of the server at the registry"),
    403: ("refuses access", "check the name; a private model needs the key of the server at the registry"),
    404: ("has no such model or tag", "check the name of the model and its tag"),
    412: ("wants a newer Ollama for this model", "raise ollama_version"),
    429: ("limits the rate of requests", "run again later, or set ollama_mirror"),
}
BROKEN = ("is in trouble", "run again later")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class RegistryError(CommandError):
    """A registry that gives no manifest or blob; status is its answer, None where there was none."""

    def __init__(self, place: str, problem: str, hint: str, status: int | None = None) -> None:
        super().__init__(place, problem, hint)
        self.status = status


@dataclass(frozen=True)
class Manifest:
    """The bytes as they came; digest: of these bytes."""

    url: str
    data: bytes
    digest: str


class Registry:
    """One registry or mirror; connections are kept."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._client = httpx.Client(
            timeout=TIMEOUT,
            follow_redirects=True,
            headers={"User-Agent": f"ollama/{'.'.join(__version__.split('.')[:3])} (reaper_ops)"},
        )
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def manifest(self, name: Name) -> Manifest:
        url = name.manifest_url(self.base_url)
        answer = self._ask("GET", url, {"Accept": ACCEPT})
        if len(answer.content) > LIMIT:
            raise RegistryError(url, f"sends a manifest of more than {LIMIT} bytes", "look at what answers there")
        return Manifest(url, answer.content, f"sha256:{hashlib.sha256(answer.content).hexdigest()}")

    def blob_size(self, name: Name, digest: str) -> int:
        url = name.blob_url(self.base_url, digest)
        length = self._ask("HEAD", url, {}).headers.get("content-length", "")
        if not length.isdigit():
            raise RegistryError(url, "does not say how long the blob is", "look at what answers there")
        return int(length)

    @contextmanager
    def blob(self, name: Name, digest: str, start: int = 0) -> Iterator[Iterator[bytes]]:
        """The bytes of a blob from `start` on, as they come."""
        url = name.blob_url(self.base_url, digest)
        with _translated(url):
            answer = self._streamed(url, {"Range": f"bytes={start}-"} if start else {})
            try:
                if answer.status_code not in {200, 206}:
                    raise _refused(url, answer.status_code)
                skip = start if answer.status_code == 200 else 0
                yield _without(answer.iter_raw(), skip)
            finally:
                answer.close()

    def _streamed(self, url: str, headers: dict[str, str]) -> httpx.Response:
        asked = {**headers, "Accept-Encoding": "identity"}
        for again in (False, True):
            request = self._client.build_request("GET", url, headers={**asked, **self._bearer()})
            answer = self._client.send(request, stream=True)
            if again or answer.status_code != 401 or not self._challenged(url, answer):
                break
            answer.close()
        return answer

    def _ask(self, method: str, url: str, headers: dict[str, str]) -> httpx.Response:
        with _translated(url):
            answer = self._client.request(method, url, headers={**headers, **self._bearer()})
            if answer.status_code == 401 and self._challenged(url, answer):
                answer = self._client.request(method, url, headers={**headers, **self._bearer()})
        if answer.status_code != 200:
            raise _refused(url, answer.status_code)
        return answer

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _challenged(self, url: str, answer: httpx.Response) -> bool:
        """Gets a token without credentials, from the registry's own host alone, as Ollama does."""
        words = dict(_CHALLENGE.findall(answer.headers.get("www-authenticate", "")))
        realm = words.get("realm", "")
        if urlsplit(realm).hostname != urlsplit(url).hostname or urlsplit(realm).scheme not in {"http", "https"}:
            return False
        asked = {key: words[key] for key in ("service", "scope") if key in words}
        given = self._client.get(realm, params=asked)
        try:
            self._token = str(given.json()["token"])
        except (ValueError, KeyError, TypeError):
            return False
        return True


def _refused(url: str, status: int) -> RegistryError:
    problem, hint = SAID.get(status, BROKEN)
    return RegistryError(url, f"says {status}: it {problem}", hint, status)


def _without(parts: Iterator[bytes], skip: int) -> Iterator[bytes]:
    """What comes after `skip` bytes, where a server does not begin in the middle."""
    for part in parts:
        if skip < len(part):
            yield part[skip:]
        skip = max(0, skip - len(part))


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise RegistryError(url, "does not answer in time", "check the network and the proxy") from error
    except httpx.ConnectError as error:
        raise RegistryError(url, *_unconnected(error)) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RegistryError(url, f"gives no whole answer ({error})", "run again; check the network") from error


def _unconnected(error: BaseException) -> tuple[str, str]:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"has no trusted certificate ({cause.verify_message})", "add its authority to the trust store"
        if isinstance(cause, ssl.SSLError):
            return "does not speak TLS", "name it in ollama_insecure_registries if plain HTTP is meant"
        cause = cause.__cause__ or cause.__context__
    return f"cannot be reached ({error})", "check the name, the network and the proxy of this machine"
