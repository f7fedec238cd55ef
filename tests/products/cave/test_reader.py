"""Images like CAVE's: folders of PNGs, MATLAB files, what is refused, spectra that are extended."""

import logging
import pickle
import shutil
import warnings

import h5py
import numpy as np
import pytest
import rasterio
from scipy.io import savemat

from trifuse.core import ProductError, Window
from trifuse.products import cave_scenes, detect, inspect_product, is_cave, open_cave, open_cube
from trifuse.products.cave import reader as cave
from trifuse.products.cave.reader import CENTRES, EXTENDED, extension_matrix


def spectra(height=40, width=50, seed=0):
    """(31, y, x) uint16 counts."""
    rng = np.random.default_rng(seed)
    share = rng.random((3, height, width))
    curves = rng.uniform(0.1, 0.9, (3, 4)) @ [
        np.cos(np.pi * k * np.linspace(0, 1, 31)) / (k + 1) for k in range(4)
    ]
    values = np.tensordot(curves.T, share, 1) / 3 + 0.2
    return (values.clip(0, 1) * 65535).astype(np.uint16)


def write_pngs(folder, image, name="balloons_ms"):
    folder.mkdir(parents=True)
    for number, plane in enumerate(image, start=1):
        planes = plane if plane.ndim == 3 else plane[None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(
                folder / f"{name}_{number:02d}.png",
                "w",
                driver="PNG",
                count=len(planes),
                height=planes.shape[1],
                width=planes.shape[2],
                dtype=planes.dtype,
            ) as file:
                file.write(planes)
    for extra in (".aux.xml", "_RGB.bmp"):
        (folder / f"{name}{extra}").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module")
def image():
    return spectra()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, image):
    return write_pngs(tmp_path_factory.mktemp("cave") / "balloons_ms", image)


def test_a_folder_of_pngs(folder, image):
    assert detect(folder)[0] == "cave"
    source = open_cube(folder)
    assert source.bands.names == tuple(f"C{nm}" for nm in range(400, 701, 10))
    assert source.bands.centres == CENTRES and set(source.bands.fwhms) == {10.0}
    cube = source.read()
    np.testing.assert_allclose(cube.data, image / 65535, atol=1e-7)
    assert cube.valid.all() and "spectra" not in cube.meta
    part = source.read(Window(5, 7, 9, 11), ["C500", "C410"])
    np.testing.assert_array_equal(part.data, cube.data[[10, 1], 5:14, 7:18])
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read().data, cube.data)
    facts = inspect_product(folder)
    assert facts["kind"] == "cave" and facts["grid"]["height"] == 40


def test_a_folder_in_a_folder_and_a_folder_of_scenes(tmp_path, folder, image):
    shutil.copytree(folder, tmp_path / "one/balloons_ms/balloons_ms")
    assert open_cave(tmp_path / "one").name == "balloons_ms"
    savemat(tmp_path / "one" / "beads.mat", {"ref": image.transpose(1, 2, 0)})
    assert [p.name for p in cave_scenes(tmp_path / "one")] == ["beads.mat", "balloons_ms"]
    with pytest.raises(ProductError, match="holds 2 scenes"):
        open_cave(tmp_path / "one")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["uint16", "uint8", "float", "counts", "counts8"])
def test_matlab_files(tmp_path, image, kind, compressed):
    share = image / 65535
    values = {
        "uint16": image,
        "uint8": (share * 255).round().astype(np.uint8),
        "float": share,
        "counts": image.astype(float),
        "counts8": (share * 255).round(),
    }[kind]
    path = tmp_path / "beads.mat"
    savemat(
        path,
        {"msi": values.transpose(1, 2, 0), "RGB": np.zeros((4, 5, 3)), "name": "beads"},
        do_compression=compressed,
    )
    assert detect(path)[0] == "cave"
    source = open_cube(path)
    tolerance = 1e-7 if kind not in ("uint8", "counts8") else 0.5 / 255 + 1e-7
    np.testing.assert_allclose(source.read().data, share, atol=tolerance)
    again = pickle.loads(pickle.dumps(source))
    part = again.read(Window(3, 4, 5, 6), ["C700"])
    np.testing.assert_array_equal(part.data, source.read().data[-1:, 3:8, 4:10])


def write_hdf5(path, values):
    """As MATLAB 7.3 does: axes in reverse, behind 512 bytes of its own."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("msi", data=values.transpose(0, 2, 1), compression="gzip")
        file.create_dataset("small", data=np.zeros((2, 2)))
        file.create_group("#refs#")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116))


def test_matlab_7_3(tmp_path, image):
    path = tmp_path / "beads.mat"
    write_hdf5(path, image / 65535)
    np.testing.assert_allclose(open_cube(path).read().data, image / 65535, atol=1e-7)


def test_missing_values_in_a_matlab_file(tmp_path, image):
    share = image / 65535
    share[3, 2, 1] = np.nan
    savemat(tmp_path / "a.mat", {"msi": share.transpose(1, 2, 0)})
    cube = open_cave(tmp_path / "a.mat", extend=True).read()
    assert not cube.valid[2, 1] and cube.valid.sum() == cube.valid.size - 1


def test_extension_keeps_what_was_measured_and_says_so(folder, image, caplog):
    with caplog.at_level(logging.WARNING):
        source = open_cube(folder, extend=True)
    assert "not physical" in caplog.text and "not physical" in source.meta["spectra"]
    assert source.bands.centres == EXTENDED
    cube = source.read()
    measured = [f"C{nm}" for nm in range(400, 701, 10)]
    np.testing.assert_allclose(cube.select(measured).data, image / 65535, atol=1e-6)
    assert 0 <= cube.data.min() and cube.data.max() <= 1
    np.testing.assert_array_equal(cube.data[-1], cube.data[source.bands.index("C1010")])
    part = source.read(Window(1, 2, 3, 4), ["C900", "C380"])
    np.testing.assert_allclose(
        part.data, cube.select(["C900", "C380"]).data[:, 1:4, 2:6], atol=1e-6
    )


def test_extension_of_lines_is_the_curve_that_levels_out():
    matrix = extension_matrix()
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    line = matrix @ (0.2 + 0.001 * np.array(CENTRES))
    at = np.array(EXTENDED)
    # slope at the end of the data, halfway out, and where it has died out
    slope = np.diff(line) / 10
    centre = (at[:-1] + at[1:]) / 2
    assert slope[(centre > 400) & (centre < 700)] == pytest.approx(0.001)
    assert slope[centre == 705] == pytest.approx(0.001, rel=0.04)
    assert slope[centre == 845] == pytest.approx(0.001 * (1 - 145 / 300) ** 2, rel=0.01)
    assert slope[centre > 1000] == pytest.approx(0, abs=1e-12)
    assert slope[centre == 395] == pytest.approx(0.001, rel=0.04)


def test_it_feeds_all_bands_of_both_sensors(folder):
    from trifuse.simulate import scene_views

    hrmsi, lrhsi, hrhsi = scene_views(open_cave(folder, extend=True), ratio=10)
    assert (len(hrmsi.bands), len(lrhsi.bands), len(hrhsi.bands)) == (12, 21, 21)
    assert lrhsi.grid.shape == (4, 5) and np.isfinite(hrhsi.data).all()


def test_colour_pngs_give_their_first_channel(tmp_path, image):
    """One scene of the original data is stored in colour with an alpha channel."""
    small = (image >> 8).astype(np.uint8)
    stacked = np.stack([small, small, small, np.full_like(small, 255)], axis=1)
    folder = write_pngs(tmp_path / "watercolors_ms", stacked)
    np.testing.assert_allclose(open_cave(folder).read().data, small / 255, atol=1e-7)


def test_what_is_refused(tmp_path, folder, image, monkeypatch):
    def fails(path, text):
        with pytest.raises(ProductError, match=text) as caught:
            open_cube(path)
        assert "\n" not in str(caught.value)

    short = shutil.copytree(folder, tmp_path / "short")
    (short / "balloons_ms_07.png").unlink()
    fails(short, "holds 30 numbered PNGs, not 31")

    other = shutil.copytree(folder, tmp_path / "other")
    write_pngs(tmp_path / "small", image[:, :20])
    shutil.copy(tmp_path / "small/balloons_ms_09.png", other / "balloons_ms_09.png")
    fails(other, "20×50")

    cut = shutil.copytree(folder, tmp_path / "cut")
    whole = (cut / "balloons_ms_05.png").read_bytes()
    (cut / "balloons_ms_05.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ProductError, match=r"balloons_ms_05.png"):
        open_cube(cut).read()

    fake = shutil.copytree(folder, tmp_path / "fake")
    (fake / "balloons_ms_05.png").write_bytes(b"GIF89a" + bytes(50))
    fails(fake, "cannot be opened as PNG")

    path = tmp_path / "a.mat"
    savemat(path, {"x": np.zeros((30, 4)), "y": np.zeros(3)})
    fails(path, r"no arrays of rows × columns × 31 \(it holds x 30×4, y 1×3\)")
    savemat(path, {"x": np.zeros((3, 4, 31)), "y": np.zeros((3, 4, 31))})
    fails(path, "2 arrays")
    savemat(path, {"x": np.ones((3, 4, 31))}, do_compression=True)
    path.write_bytes(path.read_bytes()[:-40])
    fails(path, "cannot be read as a MATLAB file")
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(range(256)))
    fails(path, "MATLAB file")
    assert not is_cave(tmp_path / "none.mat")

    write_hdf5(path, image)
    with h5py.File(path, "r+") as file:
        del file["msi"]
        file["msi"] = h5py.ExternalLink("other.mat", "msi")
    fails(path, "no arrays")

    savemat(path, {"x": np.ones((40, 40, 31))})
    monkeypatch.setattr(cave, "MAX_EDGE", 30)
    fails(path, "pixels")
    fails(folder, "40×50")
    monkeypatch.setattr("trifuse.products.cave.mat.MAX_VALUES", 1000)
    fails(path, "claims")
    monkeypatch.setattr("trifuse.products.cave.mat.MAX_FILE", 1000)
    fails(path, "larger than")


def test_other_folders_are_not_taken_for_scenes(tmp_path):
    (tmp_path / "empty").mkdir()
    assert not is_cave(tmp_path / "empty") and not is_cave(tmp_path / "nothing")
    with_tiles = tmp_path / "tiles"
    with_tiles.mkdir()
    (with_tiles / "a.tif").write_bytes(b"II*\0")
    savemat(with_tiles / "x.mat", {"x": np.zeros((2, 2, 31))})
    assert not is_cave(with_tiles)
    with pytest.raises(ProductError, match="no scene"):
        open_cave(tmp_path / "empty")
