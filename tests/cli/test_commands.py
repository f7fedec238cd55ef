"""Each command as a user types it, on good input."""

import subprocess
import sys

import numpy as np
import pytest

from trifuse import __version__
from trifuse.cli.main import cli
from trifuse.core import EXIT_CODES
from trifuse.products import open_cube


def commands(group=cli, path=()):
    for name, item in group.commands.items():
        if hasattr(item, "commands"):
            yield from commands(item, (*path, name))
        else:
            yield (*path, name), item


@pytest.mark.parametrize(
    ("path", "item"), list(commands()), ids=lambda v: "-".join(v) if isinstance(v, tuple) else ""
)
def test_every_command_has_the_common_options_and_help(trifuse, path, item):
    names = {o for p in item.params for o in p.opts}
    assert {"--overwrite", "--dry-run", "--json", "-v", "-q"} <= names
    code, out, _ = trifuse(*path, "-h")
    assert code == 0
    assert len(out.splitlines()) > 6


def test_versions(trifuse):
    code, out, _ = trifuse("--show-versions")
    assert code == 0
    assert f"trifuse {__version__}" in out
    assert "rasterio" in out


def test_exit_codes_are_in_the_readme(repository):
    readme = (repository / "README.md").read_text()
    for code in EXIT_CODES:
        assert f"\n| {code} | " in readme


def test_usage_errors_are_code_2(trifuse):
    assert trifuse("fuse")[0] == 2
    assert trifuse("no-such-command")[0] == 2


def test_unexpected_errors_are_one_line_and_code_1(trifuse, monkeypatch):
    import trifuse.srf_data as room

    def broken():
        raise RuntimeError("line one\nline two")

    monkeypatch.setattr(room, "names", broken)
    code, _, err = trifuse("srf", "list")
    assert code == 1
    assert err.strip() == (
        "Error: unexpected RuntimeError: line one line two; run again with -vv and report it"
    )
    assert "Traceback" in trifuse("srf", "list", "-vv")[2]


class TestSrf:
    def test_list_and_show(self, trifuse, as_json, tmp_path):
        assert "S2C_MSI" in trifuse("srf", "list")[1]
        code, out, _ = trifuse("srf", "show", "S3A_OLCI", "--json", "-o", tmp_path / "olci.png")
        assert code == 0
        bands = as_json(out)["bands"]
        assert len(bands) == 21
        assert (tmp_path / "olci.png").stat().st_size > 10_000

    def test_an_old_table_is_caught(self, trifuse, tmp_path):
        from trifuse.srf_data import load

        table = load("S2A_MSI")
        at = np.arange(400, 2400)
        columns = {}
        for band in table.bands:
            wavelength, response = table.curve(band.name)
            shift = 4.0 if band.name == "B2" else 0.0
            columns[band.name] = np.interp(at, np.asarray(wavelength) + shift, response, 0, 0)
        rows = [",".join(["wavelength", *columns])]
        rows += [
            ",".join([str(w), *(f"{c[i]:.6f}" for c in columns.values())]) for i, w in enumerate(at)
        ]
        (tmp_path / "old.csv").write_text("\n".join(rows))
        code, out, _ = trifuse("srf", "check", tmp_path / "old.csv", "--sensor", "S2A_MSI")
        assert code == 13
        assert "B2" in out
        assert "B3" not in out


class TestFlow:
    def test_inspect(self, trifuse, as_json, scene):
        code, out, _ = trifuse("inspect", scene.enmap, "--json")
        assert code == 0
        facts = as_json(out)
        assert facts["kind"] == "enmap"
        assert len(facts["bands"]) == 224
        assert facts["valid_share"] == 1

    def test_simulate_says_what_it_would_do_and_does_it(self, trifuse, as_json, scene, tmp_path):
        given = ("simulate", scene.enmap, "-o", tmp_path / "store", "--patch", "40")
        code, out, _ = trifuse(*given, "--dry-run")
        assert code == 0
        assert "at most 9 triplets" in out
        assert not (tmp_path / "store").exists()
        code, out, _ = trifuse(*given, "--json")
        assert code == 0
        first = as_json(out)
        assert sum(first["triplets"].values()) == 9
        assert [b["name"] for b in first["lr_bands"]][:2] == ["Oa03", "Oa04"]
        assert as_json(trifuse(*given, "--json")[1]) == first, "a second run resumes"

    def test_train_dry_run_and_resume(self, trifuse, as_json, store, tmp_path):
        small = [
            x
            for kv in (
                "optim.steps=2",
                "optim.warmup=0",
                "model.width=8",
                "model.heads=1",
                "model.encoder=1",
                "model.decoder=0",
                "optim.batch=2",
            )
            for x in ("--set", kv)
        ]
        given = ("train", "fusformer", store, "-o", tmp_path / "run", *small)
        code, out, _ = trifuse(*given, "--dry-run")
        assert code == 0
        assert "steps: 2" in out
        code, out, _ = trifuse(*given, "--json")
        assert code == 0
        assert as_json(out)["step"] == 2
        assert trifuse(*given)[0] == 0

    @pytest.mark.parametrize("method", ["bicubic", "regression", "network"])
    def test_fuse_evaluate_and_map(self, trifuse, as_json, scene, weights, method, tmp_path):
        fused = tmp_path / "fused.tif"
        extra = ["--weights", weights] if method == "network" else ["--method", method]
        given = ("fuse", "--s2", scene.s2, "--s3", scene.s3, "-o", fused, *extra)
        code, out, _ = trifuse(*given, "--dry-run")
        assert code == 0
        assert not fused.exists()
        code, out, _ = trifuse(*given)
        assert code == 0
        assert "seen by Sentinel-3 again" in out
        assert {p.name for p in tmp_path.iterdir()} >= {"fused.tif", "fused.tif.json", "fused.png"}
        with open_cube(fused) as source:
            assert source.bands.names[0] == "Oa03"
            assert source.grid.shape == (120, 120)
        code, out, _ = trifuse(
            "evaluate", fused, "--truth", scene.truth, "--s2", scene.s2, "--s3", scene.s3, "--json"
        )
        assert code == 0
        scores = as_json(out)["scores"]
        assert {"bicubic", "regression"} <= set(scores)
        assert scores["regression"]["psnr"] > scores["bicubic"]["psnr"] + 20
        if method != "bicubic":
            assert scores[method]["psnr"] > scores["bicubic"]["psnr"] + 10
        code, out, _ = trifuse("ndvi", fused, "-o", tmp_path / "ndvi.tif", "--json")
        assert code == 0
        assert -1 <= as_json(out)["mean"] <= 1
        with open_cube(tmp_path / "ndvi.tif") as source:
            assert source.bands.names == ("NDVI",)

    def test_the_demo_says_what_it_would_do(self, trifuse, tmp_path):
        code, _, _ = trifuse("demo", "-o", tmp_path / "demo", "--dry-run")
        assert code == 0
        assert not (tmp_path / "demo").exists()


def test_ndvi_and_simulate_never_import_torch(scene, tmp_path):
    code = (
        "import sys; from trifuse.cli.main import run; "
        "done = run(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(done)"
    )
    for arguments in (
        ["ndvi", scene.truth, "-o", tmp_path / "ndvi.tif"],
        ["simulate", scene.enmap, "-o", tmp_path / "store", "--patch", "60"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_files_that_name_no_bands_take_names(trifuse, as_json, tmp_path):
    import rasterio

    rng = np.random.default_rng(0)
    for name, size, gsd in (("s2", 120, 10), ("s3", 12, 100)):
        with rasterio.open(
            tmp_path / f"{name}.tif",
            "w",
            driver="GTiff",
            width=size,
            height=size,
            count=4,
            dtype="float32",
            crs="EPSG:32633",
            transform=rasterio.Affine(gsd, 0, 4e5, 0, -gsd, 5.8e6),
        ) as f:
            f.write(rng.uniform(0.05, 0.5, (4, size, size)).astype("float32"))
    s2, s3 = tmp_path / "s2.tif", tmp_path / "s3.tif"
    assert trifuse("ndvi", s2, "-o", tmp_path / "n.tif")[0] == 10
    code, out, err = trifuse("ndvi", s2, "-o", tmp_path / "n.tif", "--bands", "B2,B3,B4,B8")
    assert code == 0, err
    assert "NIR = B8; red = B4" in out
    facts = as_json(trifuse("inspect", s2, "--bands", "B2,B3,B4,B8", "--json")[1])
    assert [b["name"] for b in facts["bands"]] == ["B2", "B3", "B4", "B8"]
    code, out, err = trifuse(
        "fuse",
        "--s2",
        s2,
        "--s3",
        s3,
        "-o",
        tmp_path / "f.tif",
        "--s2-bands",
        "B2,B3,B4,B8",
        "--s3-bands",
        "Oa04,Oa06,Oa08,Oa17",
        "--bands",
        "Oa08",
        "--coregister",
        "off",
        "--json",
    )
    assert code == 0, err
    assert [b["name"] for b in as_json(out)["bands"]] == ["Oa08"]
