"""Files on a web server of our own: by https alone, by parts, and no further than asked."""

import gc
import http.server
import json
import pickle
import shutil
import ssl
import subprocess
import sys
import threading

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from trifuse.cli.main import run as run_command
from trifuse.core import BandSet, ConfigError, Cube, Grid, ProductError, Window
from trifuse.products import open_cube, write_landsat
from trifuse.products.files import remote
from trifuse.products.files.remote import HttpsFile, RemoteRaster, RemoteRef, checked_url, shown
from trifuse.products.landsat.metadata import SR_BANDS

STORED = np.random.default_rng(0).integers(1, 9999, (1, 600, 500)).astype("uint16")


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves parts of the files of a folder, and misbehaves by the start of a path."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        first, _, rest = self.path.partition("?")[0].removeprefix("/").partition("/")
        moved = {
            "moved": f"/files/{rest}",
            "plain": f"http://localhost:{server.server_port}/{rest}",
        }
        if first in moved or first == "round":
            return self._answer(302, b"", Location=moved.get(first, self.path))
        if first == "denied":
            return self._answer(403, b"no")
        if first == "busy" and len(server.asked) < 3:
            return self._answer(503, b"later")
        file = server.folder / rest
        if not file.is_file():
            return self._answer(404, b"")
        content = file.read_bytes()
        if first == "whole" or "Range" not in self.headers:
            return self._answer(200, content)
        start, stop = (int(n) for n in self.headers["Range"].removeprefix("bytes=").split("-"))
        stop = min(stop + 1, len(content))
        total = len(content) + (first == "grows") * len(server.asked)
        part = content[start : stop - (10 if first == "short" and start else 0)]
        said = {"Content-Range": f"bytes {start}-{stop - 1}/{total}"}
        return self._answer(206, part, **said)

    def _answer(self, code, content, **headers):
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    def handle_error(self, *_):
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    key, file = folder / "key.pem", folder / "cert.pem"
    line = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost".split()
    line += ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", file]
    subprocess.run(list(map(str, line)), check=True, capture_output=True)
    return key, file


@pytest.fixture
def server(certificate, tmp_path, monkeypatch):
    key, file = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("NO_PROXY", "localhost")
    remote._client.cache_clear()
    monkeypatch.setattr(remote, "TIMEOUT", 5)
    made = Server(("localhost", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    made.folder, made.asked = tmp_path / "served", []
    made.folder.mkdir()
    made.url = f"https://localhost:{made.server_port}"
    image = {"height": 600, "width": 500, "count": 1, "dtype": "uint16", "nodata": 0}
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 6e5, 0, -10, 5.8e6)}
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    with rasterio.open(
        made.folder / "a.tif", "w", driver="GTiff", **image, **place, **tiles
    ) as out:
        out.write(STORED)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()
    remote._client.cache_clear()


def test_windows_are_read_in_parts_also_by_copies_and_other_threads(server):
    raster = RemoteRaster(f"{server.url}/files/a.tif?sig=secret")
    assert raster.name == f"{server.url}/files/a.tif" and raster.header.nodata == (0,)
    part = Window(130, 40, 10, 20)
    np.testing.assert_array_equal(raster.read([1], part), STORED[:, 130:140, 40:60])
    size = (server.folder / "a.tif").stat().st_size
    assert len(server.asked) * (1 << 16) < size
    copied = pickle.loads(pickle.dumps(raster))
    np.testing.assert_array_equal(copied.read([1]), STORED)
    seen = []
    thread = threading.Thread(target=lambda read=raster.read: seen.append(read([1])))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(seen[0], STORED)
    assert set(server.asked) == {"/files/a.tif?sig=secret"}
    raster.close()
    np.testing.assert_array_equal(raster.read([1], part), STORED[:, 130:140, 40:60])
    del raster, copied, thread
    gc.collect()
    assert not [t for t in threading.enumerate() if t.name == "trifuse-https"]


def test_a_program_that_closes_nothing_ends_well(server):
    code = (
        "import sys, threading, trifuse.products.files.remote as r\n"
        "a = r.RemoteRaster(sys.argv[1]); a.read([1])\n"
        "t = threading.Thread(target=lambda: a.read([1])); t.start(); t.join()\n"
        "b = [r.RemoteRaster(sys.argv[1])]; b.append(b); del b\n"
        "print('ended')\n"
    )
    line = [sys.executable, "-c", code, f"{server.url}/files/a.tif"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "ended"), done.stderr


def test_a_file_reads_like_a_file(server):
    content = (server.folder / "a.tif").read_bytes()
    with HttpsFile(f"{server.url}/files/a.tif") as file:
        assert file.size == len(content) and file.seekable()
        assert file.seek(-7, 2) == len(content) - 7 and file.read() == content[-7:]
        file.seek(65_530)
        assert file.read(20) == content[65_530:65_536] and file.read(0) == b""
        file.seek(len(content) + 5)
        assert file.read(3) == b""
    ref = RemoteRef(f"{server.url}/files/a.tif")
    assert ref.read(1 << 20) == content and ref.name == "a.tif"
    with pytest.raises(ProductError, match="is larger than 0 MiB"):
        ref.read(100)


def test_redirects_are_followed_to_https_only(server):
    raster = RemoteRaster(f"{server.url}/moved/a.tif")
    np.testing.assert_array_equal(raster.read([1], Window(0, 0, 5, 5)), STORED[:, :5, :5])
    raster.close()
    with pytest.raises(ProductError, match=r"http://localhost.*is no https address"):
        RemoteRaster(f"{server.url}/plain/files/a.tif")
    server.asked.clear()
    with pytest.raises(ProductError, match="cannot be had"):
        RemoteRaster(f"{server.url}/round/a.tif")
    assert len(server.asked) <= remote.MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("place", "match"),
    [
        ("files/none.tif", r"cannot be had \(404"),
        ("denied/a.tif", r"is not open to everyone \(403 Forbidden\); sign the Item anew"),
        ("whole/a.tif", "gives no parts of files"),
    ],
)
def test_what_a_server_does_not_give_is_one_line(server, place, match):
    with pytest.raises(ProductError, match=match) as caught:
        RemoteRaster(f"{server.url}/{place}?sig=secret")
    assert "secret" not in str(caught.value) and caught.value.exit_code == 3


def test_a_server_that_is_busy_is_asked_again(server, monkeypatch):
    monkeypatch.setattr(remote.time, "sleep", lambda _: None)
    RemoteRaster(f"{server.url}/busy/a.tif").close()


@pytest.mark.parametrize(("place", "match"), [("short", "cut short"), ("grows", "changed while")])
def test_what_goes_wrong_while_reading_is_told_as_it_is(server, place, match):
    with pytest.raises(ProductError, match=match):
        RemoteRaster(f"{server.url}/{place}/a.tif").read([1])


def test_jpeg_2000_that_ends_too_early_gives_no_pixels(server):
    rasterio.shutil.copy(
        server.folder / "a.tif", server.folder / "a.jp2", driver="JP2OpenJPEG", REVERSIBLE="YES"
    )
    assert (server.folder / "a.jp2").stat().st_size > 2 * (1 << 16)
    whole = RemoteRaster(f"{server.url}/files/a.jp2")
    assert whole.read([1]).shape == STORED.shape
    whole.close()
    with pytest.raises(ProductError, match="cut short by its server"):
        RemoteRaster(f"{server.url}/short/a.jp2").read([1])


def test_a_certificate_that_nobody_vouches_for_is_refused(server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    remote._client.cache_clear()
    with pytest.raises(ProductError, match="certificate verify failed"):
        RemoteRaster(f"{server.url}/files/a.tif")
    assert server.asked == []


def test_what_is_no_image_is_refused(server):
    (server.folder / "a.vrt").write_text("<VRTDataset/>")
    with pytest.raises(ProductError, match="is no GeoTIFF or JPEG 2000"):
        RemoteRaster(f"{server.url}/files/a.vrt")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/a.tif",
        "ftp://localhost/a.tif",
        "file:///etc/passwd",
        "s3://bucket/a.tif",
        "/vsicurl/https://localhost/a.tif",
        "https:///a.tif",
        "https://localhost:99999/a.tif",
        "https://localhost/a b.tif",
        "https://me:word@localhost/a.tif",
    ],
)
def test_addresses_that_are_never_asked(url):
    with pytest.raises(ProductError) as caught:
        checked_url(url)
    assert "word" not in str(caught.value)


def test_keys_of_addresses_are_in_no_message():
    assert shown("https://me:word@host/a.tif?sig=secret#part") == "https://host/a.tif"


def item(server, tmp_path):
    about = {"scale": 1e-4, "offset": 0}
    asset = {"href": f"{server.url}/files/a.tif", "type": "image/tiff", "raster:bands": [about]}
    value = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "far",
        "properties": {},
        "assets": {"red": asset},
    }
    path = tmp_path / "item.json"
    path.write_text(json.dumps(value))
    return path


def test_an_items_assets_are_fetched_only_where_that_is_asked_for(server, tmp_path, capsys):
    path = item(server, tmp_path)
    with pytest.raises(ProductError, match="on the web; let it be fetched"):
        open_cube(path)
    assert server.asked == []
    assert run_command(["inspect", str(path)]) == 3
    assert "--remote" in capsys.readouterr().err and server.asked == []
    with open_cube(path, remote=True) as source:
        assert source.bands.names == ("red",)
        np.testing.assert_allclose(source.read().data, STORED * 1e-4, atol=1e-6)
    assert run_command(["inspect", str(path), "--remote"]) == 0
    assert "600 × 500 pixels" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="remote does not apply to geotiff"):
        open_cube(server.folder / "a.tif", remote=True)
    shutil.copy(server.folder / "a.tif", tmp_path / "a.tif")
    server.asked.clear()
    with open_cube(path, remote=True) as source:
        source.read()
    assert server.asked == []


def test_a_landsat_scene_is_fetched_with_its_metadata(server, tmp_path):
    bands = BandSet.of(SR_BANDS)
    grid = Grid.from_origin("EPSG:32633", 600000, 5800020, 30, 12, 16)
    data = np.random.default_rng(0).uniform(0.05, 0.4, (7, *grid.shape)).astype("float32")
    cube = Cube(data, np.ones(grid.shape, bool), bands, grid)
    scene = write_landsat(tmp_path, cube, reflectance=(3e-5, -0.1))
    for file in scene.iterdir():
        shutil.move(file, server.folder / file.name)
    names = {b: f"{scene.name}_SR_{b}.TIF" for b in SR_BANDS}
    names |= {"qa_pixel": f"{scene.name}_QA_PIXEL.TIF", "mtl.xml": f"{scene.name}_MTL.xml"}
    value = {
        "type": "Feature",
        "id": scene.name,
        "properties": {"platform": "landsat-9"},
        "assets": {k: {"href": f"{server.url}/files/{n}?sig=secret"} for k, n in names.items()},
    }
    path = tmp_path / "item.json"
    path.write_text(json.dumps(value))
    with open_cube(path, remote=True) as source:
        assert source.meta["calibration"]["from"].startswith("MTL")
        np.testing.assert_allclose(source.read().data, data, atol=3e-5)
    with pytest.raises(ProductError, match="has none of its bands here"):
        open_cube(path)
