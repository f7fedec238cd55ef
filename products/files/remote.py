"""Files on web servers, for those who ask for it: by https alone, read by ranges.

Addresses come from STAC Items, which are untrusted input, so GDAL's own access to the network,
which follows any redirect, is not used: GDAL reads through a Python file. This client speaks https
and nothing else, verifies certificates, follows a few redirects to https only, sends no
credentials, and reads no more than it asked for. What stands behind ``?`` in an address may be a
key and is in no message.
"""

from __future__ import annotations

import functools
import http.client
import inspect
import io
import os
import queue
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar
from urllib.parse import unquote, urlsplit

import rasterio

from trifuse.core import MissingExtraError, ProductError
from trifuse.products.files.archive import FileRef
from trifuse.products.files.raster import ENV, Raster, driver_of_bytes

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds that a server may be silent."""
TRIES = 3
MAX_REDIRECTS = 5
MAX_BYTES = 1 << 40
_BLOCK = 1 << 16
_AHEAD = 64
"""Blocks of a read that goes on where the last one ended: 4 MiB."""
_KEPT = 256
_AGAIN = {429, 500, 502, 503, 504}
_FAILURES = (OSError, http.client.HTTPException)


def checked_url(url: str) -> str:
    """An address that may be asked.

    Raises:
        ProductError: if it is not plain https, or holds a user's name.
    """
    where = shown(url)
    try:
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= 8192
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        raise ProductError("is no web address", where=where) from None
    if parts.scheme.lower() != "https" or not parts.hostname or not plain or not port_is_number:
        raise ProductError(
            "is no https address, and others are not read",
            where=where,
            fix="download the file and give its path",
        )
    if parts.username is not None or parts.password is not None:
        raise ProductError("holds a user's name, which is not sent", where=where)
    return url


def shown(url: str) -> str:
    """An address as messages may have it."""
    return re.sub(r"//[^/@]*@", "//", url.split("?", 1)[0].split("#", 1)[0])[:300]


@dataclass(frozen=True, slots=True)
class RemoteRef:
    """A file on a web server, that is read like a :class:`FileRef`.

    Attributes:
        url: its address, checked.
    """

    url: str

    @property
    def name(self) -> str:
        """Last part of the address."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    @property
    def where(self) -> str:
        """For messages."""
        return shown(self.url)

    def read(self, limit: int) -> bytes:
        """The whole content, if it is at most ``limit`` bytes.

        Raises:
            ProductError: if it is larger or cannot be had.
        """
        with _asked(self.url, None) as answer:
            content: bytes = _received(answer, limit + 1, self.where)
        if len(content) > limit:
            raise ProductError(f"is larger than {limit >> 20} MiB", where=self.where)
        return content


AnyFile = FileRef | RemoteRef


def open_raster(file: AnyFile, *, sidecars: bool = True) -> Raster:
    """A raster file, wherever it is; arguments and errors as of :class:`Raster`."""
    if isinstance(file, RemoteRef):
        return RemoteRaster(file.url)
    return Raster(file.path, member=file.member, sidecars=sidecars)


class RemoteRaster(Raster):
    """A raster file on a web server, read window by window.

    Args:
        url: its address.

    Raises:
        ProductError: if it cannot be had, is of another kind or damaged.
        MissingExtraError: if rasterio is too old to read through Python.
    """

    def __init__(self, url: str) -> None:
        if "opener" not in inspect.signature(rasterio.open).parameters:
            raise MissingExtraError(
                "reading from web servers needs rasterio 1.4", fix="pip install -U rasterio"
            )
        self._url = checked_url(url)
        self.name = shown(url)
        self.path = Path(RemoteRef(url).name or "image")
        with HttpsFile(url) as file:
            self._driver = driver_of_bytes(file.read(8))
        if not self._driver:
            raise ProductError("is no GeoTIFF or JPEG 2000 image", where=self.name)
        self._env = {**ENV, "GDAL_PAM_ENABLED": "NO", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
        self._begin()
        self._load()

    def close(self) -> None:
        """Close the dataset of this process; reading again opens it anew."""
        _stop(self._places)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k not in ("_places", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def _begin(self) -> None:
        self._places: dict[int, _Place] = {}
        self._lock = threading.Lock()
        # Also before Python ends: what is open then must not outlive the thread it is open in.
        weakref.finalize(self, _stop, self._places)

    def _with(self, call: Callable[[Any], T]) -> T:
        with self._lock:
            place = self._places.get(os.getpid())
            if place is None:
                place = self._places[os.getpid()] = _Place(self._url, self._driver, self._env)
        return place.call(call)


class _Place:
    """A thread with a dataset, in which alone the dataset is opened, used and closed.

    What rasterio 1.4 knows of Python files is of one thread: a dataset must not be closed in
    another, nor be left open until Python ends.
    """

    def __init__(self, url: str, driver: str, env: Mapping[str, Any]) -> None:
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        work = (self._calls, url, driver, env)
        self._thread = threading.Thread(target=_serve, args=work, daemon=True, name="trifuse-https")
        self._thread.start()

    def call(self, call: Callable[[Any], T]) -> T:
        """What a call makes of the dataset; what goes wrong is raised here."""
        answer: Future[T] = Future()
        self._calls.put((call, answer))
        return answer.result()

    def stop(self) -> None:
        """Close the dataset."""
        self._calls.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(TIMEOUT)


def _stop(places: dict[int, _Place]) -> None:
    place = places.pop(os.getpid(), None)
    if place is not None:
        place.stop()


def _serve(calls: Any, url: str, driver: str, env: Mapping[str, Any]) -> None:
    """Answer calls with one dataset until told to stop."""
    failed: list[ProductError] = []
    name = f"image-{abs(hash(url)):x}"

    def opener(path: str, mode: str = "rb", **_: Any) -> IO[bytes]:
        # GDAL may look for other files beside this one: there are none.
        if PurePosixPath(path).name != name or "w" in mode:
            raise FileNotFoundError(path)
        try:
            return io.BufferedReader(HttpsFile(url, failed))
        except ProductError as e:
            failed.append(e)
            raise FileNotFoundError(path) from None

    dataset = None
    with rasterio.Env(**env):
        while (asked := calls.get()) is not None:
            call, answer = asked
            failed.clear()
            try:
                if dataset is None:
                    dataset = rasterio.open(name, driver=driver, opener=opener)
                result = call(dataset)
                if failed:  # of JPEG 2000 that ends too early GDAL decodes what there is
                    raise failed[0]
                answer.set_result(result)
            except BaseException as e:
                # GDAL drops what the file says went wrong.
                answer.set_exception(failed[0] if failed else e)
            del call, answer, asked
        if dataset is not None:
            dataset.close()


class HttpsFile(io.RawIOBase):
    """A file on a web server as a Python file; not for several threads at once.

    Args:
        url: its address.
        failed: gets what goes wrong after opening, for readers that no error may go through; to
            them the file ends there.
    """

    def __init__(self, url: str, failed: list[ProductError] | None = None) -> None:
        self._url, self._at, self._tag = checked_url(url), 0, ""
        self._failed = failed
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._size, self._next, self._run = -1, 0, 1
        self._fetch(0, 1)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._size

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See :meth:`io.IOBase.seek`."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """See :meth:`io.RawIOBase.readinto`."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._size - self._at)
        if wanted <= 0:
            return 0
        block, inside = divmod(self._at, _BLOCK)
        if block not in self._blocks:
            needed = -(-(self._at + wanted) // _BLOCK) - block
            # Whoever reads on in order gets more each time.
            self._run = min(_AHEAD, self._run * 2) if block == self._next else 1
            try:
                self._fetch(block, min(max(needed, self._run), _AHEAD))
            except ProductError as e:
                if self._failed is None:
                    raise
                self._failed.append(e)
                return 0
        self._blocks.move_to_end(block)
        content = self._blocks[block][inside : inside + wanted]
        view[: len(content)] = content
        self._at += len(content)
        return len(content)

    def _fetch(self, block: int, count: int) -> None:
        """Get some blocks, and what the server says of the file.

        Raises:
            ProductError: if they cannot be had.
        """
        where, start = shown(self._url), block * _BLOCK
        stop = start + count * _BLOCK
        if self._size >= 0:
            stop = min(stop, self._size)
        with _asked(self._url, (start, stop)) as answer:
            size, tag = _range_of(answer, start, where), answer.headers.get("ETag", "")
            if self._size >= 0 and (size, tag) != (self._size, self._tag):
                raise ProductError("changed while it was read", where=where, fix="try again")
            self._size, self._tag = size, tag
            length = min(stop, size) - start
            content = _received(answer, length, where)
        if len(content) != length:
            raise ProductError("was cut short by its server", where=where, fix="try again")
        for k in range(0, length, _BLOCK):
            self._blocks[block + k // _BLOCK] = content[k : k + _BLOCK]
        self._next = block + -(-length // _BLOCK)
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)


def _range_of(answer: Any, start: int, where: str) -> int:
    """Bytes of the whole file, of an answer that holds a part of it."""
    first, _, total = str(answer.headers.get("Content-Range") or "").partition("/")
    if answer.status != 206 or not first.startswith(f"bytes {start}-") or not total.isdigit():
        raise ProductError(
            "is on a server that gives no parts of files",
            where=where,
            fix="download it and give its path",
        )
    if not 0 < int(total) <= MAX_BYTES:
        raise ProductError(f"claims {total} bytes", where=where)
    return int(total)


def _received(answer: Any, limit: int, where: str) -> bytes:
    try:
        content: bytes = answer.read(limit)
    except _FAILURES as e:
        raise ProductError(f"cannot be read ({_reason(e)})", where=where, fix="try again") from None
    return content


def _asked(url: str, part: tuple[int, int] | None) -> Any:
    """The answer of a server, open; asked again where that may help.

    Raises:
        ProductError: if there is none.
    """
    headers = {"User-Agent": "trifuse", "Accept-Encoding": "identity"}
    if part is not None:
        headers["Range"] = f"bytes={part[0]}-{part[1] - 1}"
    request = urllib.request.Request(url, headers=headers)
    for left in range(TRIES - 1, -1, -1):
        try:
            return _client().open(request, timeout=TIMEOUT)
        except ProductError:
            raise
        except urllib.error.HTTPError as e:
            e.close()
            if e.code in _AGAIN and left:
                time.sleep(0.5 * (TRIES - left))
                continue
            told = {401: "is not open to everyone", 403: "is not open to everyone"}
            raise ProductError(
                f"{told.get(e.code, 'cannot be had')} ({e.code} {e.reason})",
                where=shown(url),
                fix="sign the Item anew, or download the file and give its path",
            ) from None
        except _FAILURES as e:
            certificate = isinstance(getattr(e, "reason", e), ssl.SSLCertVerificationError)
            if left and not certificate:
                time.sleep(0.5 * (TRIES - left))
                continue
            raise ProductError(
                f"cannot be had ({_reason(e)})",
                where=shown(url),
                fix="check the connection, or download the file and give its path",
            ) from None
    raise AssertionError


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", None) or error
    return " ".join(str(inner).split())[:160] or type(inner).__name__


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MAX_REDIRECTS

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """The request to go on with; addresses that are not https are not asked."""
        checked_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@functools.cache
def _client() -> urllib.request.OpenerDirector:
    """What speaks https and nothing else: no handler of http, ftp, file or data is in it."""
    client = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        _HttpsRedirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        client.add_handler(handler)
    return client
