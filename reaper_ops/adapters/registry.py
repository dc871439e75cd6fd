"""The one door to model registries: manifests byte for byte, sizes of blobs. TLS is verified."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from reaper_ops import __version__
from reaper_ops.adapters import web
from reaper_ops.core import typed
from reaper_ops.core.models.names import ModelName
from reaper_ops.errors import CommandError

ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
SAID = {
    401: ("wants credentials", "check the name; a private model needs the key of the server at the registry"),
    403: ("refuses access", "check the name; a private model needs the key of the server at the registry"),
    404: ("has no such model or tag", "check the name of the model and its tag"),
    412: ("wants a newer Ollama for this model", "raise ollama_version"),
    429: ("limits the rate of requests", "run again later, or set ollama_mirror"),
}
BROKEN = ("is in trouble", "run again later")
_CHALLENGE = re.compile(r'\b(\w{1,64})="([^"]{0,2048})"')
_TOKEN = re.compile(r"[!-~]{1,16384}\Z")


class RegistryError(CommandError):
    """A registry that gives no manifest or blob; status is its answer, None where there was none."""

    def __init__(self, place: str, problem: str, hint: str, status: int | None = None) -> None:
        super().__init__(place, problem, hint)
        self.status = status


@dataclass(frozen=True)
class RegistryManifest:
    """The bytes as they came; digest: of these bytes."""

    url: str
    data: bytes
    digest: str


class Registry:
    """One registry or mirror; connections are kept."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._web = web.Web(f"ollama/{'.'.join(__version__.split('.')[:3])} (reaper_ops)", TIMEOUT)
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._web.close()

    def manifest(self, name: ModelName) -> RegistryManifest:
        url = name.manifest_url(self.base_url)
        data = self._ask("GET", url, {"Accept": ACCEPT}, limit=typed.MANIFEST).body
        return RegistryManifest(url, data, f"sha256:{hashlib.sha256(data).hexdigest()}")

    def blob_size(self, name: ModelName, digest: str) -> int:
        url = name.blob_url(self.base_url, digest)
        length: int | None = typed.digits(self._ask("HEAD", url, {}, stores=True).headers.get("content-length", ""))
        if length is None:
            raise RegistryError(url, "does not say how long the blob is", "look at what answers there")
        return length

    @contextmanager
    def blob(self, name: ModelName, digest: str, start: int = 0) -> Iterator[Iterator[bytes]]:
        """The bytes of a blob from `start` on, as they come."""
        url = name.blob_url(self.base_url, digest)
        with _translated(url), self._streamed(url, {"Range": f"bytes={start}-"} if start else {}) as answer:
            if answer.status_code not in {200, 206}:
                raise _refused(url, answer.status_code)
            skip = start if answer.status_code == 200 else 0
            yield _without(answer.iter_raw(), skip)

    @contextmanager
    def _streamed(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """A blob is as long as it is: only its silences are bounded."""
        with self._web.open("GET", url, headers, secret=self._bearer(), stores=True, seconds=None) as answer:
            if answer.status_code != 401 or not self._challenged(url, answer.headers):
                yield answer
                return
        with self._web.open("GET", url, headers, secret=self._bearer(), stores=True, seconds=None) as answer:
            yield answer

    def _ask(self, method: str, url: str, headers: dict[str, str], **more: Any) -> web.WebAnswer:
        with _translated(url):
            answer = self._web.ask(method, url, headers, secret=self._bearer(), **more)
            if answer.status == 401 and self._challenged(url, answer.headers):
                answer = self._web.ask(method, url, headers, secret=self._bearer(), **more)
        if answer.status != 200:
            raise _refused(url, answer.status)
        return answer

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _challenged(self, url: str, headers: httpx.Headers) -> bool:
        """Gets a token without credentials, from the registry's own host alone, as Ollama does."""
        words = dict(_CHALLENGE.findall(headers.get("www-authenticate", "")))
        realm = words.get("realm", "")
        if not _may_give_tokens(realm, url):
            return False
        asked = {key: words[key] for key in ("service", "scope") if key in words}
        given = self._web.ask("GET", str(httpx.URL(realm).copy_merge_params(asked)))
        token = typed.mapping(given.body.decode("utf-8", "replace")).get("token")
        if not isinstance(token, str) or not _TOKEN.match(token):
            return False
        self._token = token
        return True


def _may_give_tokens(realm: str, url: str) -> bool:
    try:
        there, here = urlsplit(realm), urlsplit(url)
        return there.hostname == here.hostname and there.scheme in {"https", here.scheme}
    except ValueError:
        return False


def _refused(url: str, status: int) -> RegistryError:
    problem, hint = SAID.get(status, BROKEN)
    return RegistryError(url, f"answers {status}: it {problem}", hint, status)


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
    except web.Distrusted as error:
        raise RegistryError(url, str(error), "look at what answers there") from error
    except httpx.TimeoutException as error:
        raise RegistryError(url, "does not answer in time", "check the network and the proxy") from error
    except httpx.ConnectError as error:
        raise RegistryError(url, *_unconnected(error)) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RegistryError(url, f"sends no complete answer ({error})", "run again; check the network") from error


def _unconnected(error: BaseException) -> tuple[str, str]:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"has no trusted certificate ({cause.verify_message})", "add its authority to the trust store"
        if isinstance(cause, ssl.SSLError):
            return "does not speak TLS", "name it in ollama_insecure_registries if plain HTTP is meant"
        cause = cause.__cause__ or cause.__context__
    return f"cannot be reached ({error})", "check the name, the network and the proxy of this machine"
