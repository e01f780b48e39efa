"""Where the server is and which key to use."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pinfold._core.call import Duration, milliseconds
from pinfold.errors import ConfigurationError

DEFAULT_URL = "http://127.0.0.1:7070"
TIMEOUT_SECONDS = 60.0
"""For answers that need no long work."""


@dataclass(frozen=True)
class Settings:
    """One server and one key."""

    url: str
    """Without a slash at its end."""
    key: str = field(repr=False)
    timeout: float = TIMEOUT_SECONDS
    """Seconds of silence before and within an answer that needs no long work."""

    @property
    def loopback(self) -> bool:
        """The server is on this machine."""
        return is_loopback(self.url)


def settings(url: str | None, key: str | None, timeout: Duration | None) -> Settings:
    """From arguments, else from `PINFOLD_URL` and `PINFOLD_API_KEY`."""
    url = url if url is not None else os.environ.get("PINFOLD_URL") or DEFAULT_URL
    key = key if key is not None else os.environ.get("PINFOLD_API_KEY")
    if key is None:
        raise ConfigurationError(
            "PINFOLD_API_KEY is not set: use the secret that `pinfold keys create` prints, or the "
            "one in admin.key of the server's data directory; Client.local() needs none"
        )
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigurationError("the API key holds characters no key has")
    allowed = milliseconds(timeout)
    if allowed == 0:
        raise ConfigurationError("a timeout of nothing leaves no time for any answer")
    return Settings(base_url(url), key, TIMEOUT_SECONDS if allowed is None else allowed / 1000)


def base_url(text: str) -> str:
    """A server's URL, any path prefix kept."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not a server's URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"{text!r} is not a server's URL: it must begin with http:// or https:// and name a host"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("a server's URL holds no user: the key goes into api_key")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def is_loopback(url: str) -> bool:
    """Whether the URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
