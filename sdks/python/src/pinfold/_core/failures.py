"""What the HTTP library raises, as errors of this package. Nothing else lets one through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from pinfold.errors import (
    AnswerTimeoutError,
    BrokenConnectionError,
    ConfigurationError,
    ConnectionFailedError,
)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Around every call of the HTTP library."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ConnectionFailedError(
            f"no Pinfold server answers at {url} ({error or 'no connection in time'}): start one "
            "with `pinfold serve`, or set PINFOLD_URL to where one runs"
        ) from None
    except httpx.PoolTimeout:
        raise ConnectionFailedError(f"all connections to {url} are in use") from None
    except httpx.TimeoutException:
        raise AnswerTimeoutError(f"the server at {url} did not answer in time") from None
    except (httpx.TransportError, httpx.DecodingError) as error:
        why = str(error) or type(error).__name__
        raise BrokenConnectionError(f"the connection to {url} broke off: {why}") from None
    except (httpx.StreamError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigurationError(f"this request cannot be sent: {error}") from None
