"""What a network says when something goes wrong, in a few words for people."""

from __future__ import annotations

import re
import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

import requests

from vision_ft.errors import DataError

# Seconds to wait for a connection, and for the next byte on it.
CONNECT, SILENCE = 15.0, 30.0


def name_of(url: str) -> str:
    """The last part of an address."""
    return url.rpartition("/")[2]


def host_of(url: str) -> str:
    """Whom an address asks, without the name and password that may stand in it."""
    return urlsplit(url).netloc.rpartition("@")[2]


def no_answer(error: requests.RequestException, url: str) -> str:
    """Why no answer came, where asking again may help.

    Raises:
        DataError: it will not help.
    """
    host, fault = host_of(url), requests.exceptions
    if isinstance(error, fault.ProxyError):
        raise DataError(
            f"the proxy on the way to {host} does not work ({cause(error)}); mend HTTP_PROXY and HTTPS_PROXY, or "
            "unset them"
        ) from error
    if isinstance(error, fault.SSLError):
        raise DataError(
            f"{host} cannot be reached safely ({cause(error)}); mend this machine's clock or certificates "
            "(REQUESTS_CA_BUNDLE), or name a mirror with --mirror URL"
        ) from error
    if isinstance(error, fault.TooManyRedirects):
        raise DataError(f"{host} sends {public(url)} round in a circle; name a mirror with --mirror URL") from error
    if not isinstance(error, fault.ConnectionError | fault.Timeout | fault.ChunkedEncodingError):
        raise DataError(
            f"{public(url)} is, or leads to, no address of the web ({type(error).__name__}); name a mirror with "
            "--mirror URL"
        ) from error
    return cause(error)


def cause(error: BaseException) -> str:
    """What is behind an error of the network, in a few words."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {CONNECT:g} s"
    while (behind := error.__cause__ or error.__context__) is not None:
        error = behind
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, TimeoutError):
        return f"nothing came for {SILENCE:g} s"
    return error.strerror if isinstance(error, OSError) and error.strerror else "the connection dropped"


def phrase(status: int) -> str:
    """A status with its name."""
    known = HTTPStatus(status).phrase if status in {each.value for each in HTTPStatus} else ""
    return f"{status} {known}".strip()


def public(url: str) -> str:
    """An address without the name and password that may stand in it."""
    return re.sub(r"//[^/@]*@", "//", url)
