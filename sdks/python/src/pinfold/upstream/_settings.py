"""Where the server is and who asks."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import httpx

from pinfold._core.settings import is_loopback

from ._errors import AuthError, UpstreamError

DEFAULT_BASE_URL = "http://127.0.0.1:7070/upstream"
BASE_URL_VARIABLE = "UPSTREAM_BASE_URL"


@dataclass(frozen=True)
class Settings:
    """One server and one key."""

    base_url: str
    timeout: float | None
    """Seconds for one exchange; ``None``: without bound."""
    headers: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, api_key: str, base_url: str | None, timeout: float | None) -> Settings:
        """From the arguments of a client; AuthError where no key can be like this one."""
        key = api_key.strip() if isinstance(api_key, str) else ""
        if not key:
            raise AuthError("no API key: pass api_key")
        if not key.isascii() or not key.isprintable():
            raise AuthError("the API key holds characters that no key has")
        url = base_url or os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, TypeError, ValueError) as error:
            raise UpstreamError(f"base_url is no URL: {error}") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UpstreamError("base_url must begin with http:// or https:// and name a host")
        return cls(
            base_url=url.rstrip("/"),
            timeout=timeout,
            headers={
                "Authorization": f"Bearer {key}",
                "Accept": "application/json, */*",
                "Accept-Encoding": "identity",
                "User-Agent": "pinfold-upstream-python",
            },
        )

    @property
    def loopback(self) -> bool:
        """No proxy stands between this machine and itself."""
        return is_loopback(self.base_url)

    def url(self, path: str) -> str:
        """The address of a route."""
        return f"{self.base_url}/v1{path}"

    def shown(self) -> str:
        """The address without a password that may stand in it."""
        url = httpx.URL(self.base_url)
        return str(url.copy_with(userinfo=b"")) if url.userinfo else self.base_url
