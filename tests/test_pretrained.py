"""The pretrained network: its weights are read as data only, and it computes what PyTorch computes with them."""

import io
import pickle
import struct
import sys
from collections import OrderedDict
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from fixtures.make_embeddings import pictures

from harness.data.sources import wheel_member
from harness.errors import DataError, Unavailable
from harness.networks import pretrained
from harness.networks.pretrained import (
    CLASSIFIER,
    HEAD,
    activation_shape,
    build_stages,
    fold_batch_norm,
)
from harness.networks.torch_weights import MAGIC, VERSION, read_torch_weights

EXPECTED = np.load(Path(__file__).parent / "fixtures" / "embeddings.npz")
PALACE, DAISY = 698, 985
ONE_LINE = r"^[^\n]+$"


@cache
def published():
    """The weight file; what needs it is skipped where it cannot be had."""
    try:
        return wheel_member(*pretrained.SOURCE)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def weights():
    pytest.importorskip("tensorflow")
    return read_torch_weights(published())


@pytest.fixture(scope="module")
def frozen(weights):
    """The frozen network, built once."""
    return build_stages(fold_batch_norm(weights), 0, HEAD)


@pytest.fixture(scope="module")
def small(weights):
    """The same for pictures of 64 pixels, to be quick."""
    return build_stages(fold_batch_norm(weights), 0, HEAD, 64)


@pytest.fixture(scope="module")
def whole(weights):
    """What the whole network, batch norm and all, makes of some images at 64 pixels."""
    return pretrained.apply_model_to_images(build_stages(weights, 0, CLASSIFIER, 64), some_images(), batch_size=5)


def stage_outputs(weights, images, stage, size, batch_size=16):
    """The output of a stage, which is the input of the next one."""
    model = build_stages(fold_batch_norm(weights), 0, stage, size)
    return pretrained.apply_model_to_images(model, images, batch_size)


def some_images(n=5, size=40, channels=3):
    return np.random.default_rng(n).integers(0, 256, (n, size, size, channels), dtype=np.uint8)


# --- a weight file is read, not run -------------------------------------------------------------------------------


@pytest.fixture
def saved(monkeypatch):
    """Write a file as PyTorch 1.5 did; `tensors` are (name, storage key, offset, shape, strides)."""
    utils, torch = ModuleType("torch._utils"), ModuleType("torch")
    utils._rebuild_tensor_v2 = SimpleNamespace()
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    exec("def _rebuild_tensor_v2(*_):\n    pass", utils.__dict__)  # noqa: S102 -- a stand-in that pickle finds by name
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    class Tensor:
        def __init__(self, *arguments):
            self.arguments = arguments

        def __reduce__(self):
            return utils._rebuild_tensor_v2, (*self.arguments, False, OrderedDict())

    class Storage(str):
        __slots__ = ()

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            length = len(storages[value]) if isinstance(value, Storage) else 0
            return ("storage", torch.FloatStorage, str(value), "cpu", length, None) if length else None

    storages = {"7": np.arange(6, dtype="<f4")}

    def write(*tensors, more=()):
        held = OrderedDict((name, Tensor(Storage("7"), *rest)) for name, *rest in tensors)
        held.update(more)
        file = io.BytesIO()
        for value in (MAGIC, VERSION, {"little_endian": True}, held, ["7"]):
            Pickler(file, protocol=2).dump(value)
        return file.getvalue() + struct.pack("<q", 6) + storages["7"].tobytes()

    return write


def test_tensors_come_out_as_they_were_saved(saved):
    found = read_torch_weights(saved(("a", 0, (2, 3), (3, 1)), ("b", 1, (2, 2), (1, 3))))
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["b"].tolist() == [[1, 4], [2, 5]]


@pytest.mark.parametrize(
    "tensor",
    [(0, (7,), (1,)), (5, (2,), (1,)), (0, (2, 2), (9, 1)), (-1, (2,), (1,)), (4, (2,), (-1,)), (0, (99,), (0,))],
)
def test_a_tensor_outside_its_storage_is_refused(saved, tensor):
    with pytest.raises(DataError, match="weight file"):
        read_torch_weights(saved(("a", *tensor)))


@pytest.mark.parametrize("value", [1, "text", [1, 2], {"b": 1}, None, 1.5, b"bytes", {1, 2}, range(3), complex(1, 2)])
def test_a_file_that_holds_anything_else_is_refused(saved, value):
    with pytest.raises(DataError, match="only tensors are read"):
        read_torch_weights(saved(("a", 0, (2,), (1,)), more={"b": value}))


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("protocol", range(6))
def test_what_a_file_wants_to_call_is_not_called(tmp_path, protocol):
    attack = pickle.dumps(Attack(str(tmp_path / "written")), protocol)
    head = pickle.dumps(MAGIC, 2) + pickle.dumps(VERSION, 2) + pickle.dumps({}, 2)
    for content in (attack, head + attack):
        with pytest.raises(DataError, match="only tensors are read"):
            read_torch_weights(content)
    assert not (tmp_path / "written").exists()


def test_a_file_that_ends_early_or_is_something_else_is_refused_in_one_line(saved):
    content = saved(("a", 0, (2, 3), (3, 1)))
    for end in range(len(content)):
        with pytest.raises(DataError, match=ONE_LINE):
            read_torch_weights(content[:end])
    for other in (b"PK\x03\x04 a zip", b"\x89PNG\r\n", pickle.dumps(3, 2) * 9):
        with pytest.raises(DataError, match=ONE_LINE):
            read_torch_weights(other)


# --- the port -----------------------------------------------------------------------------------------------------


def test_the_whole_network_has_every_published_weight(weights):
    model = build_stages(weights, 0, CLASSIFIER)
    assert model.count_params() == sum(values.size for values in weights.values()) == 4_694_024


@pytest.mark.parametrize("name", pictures())
def test_features_are_those_of_pytorch(frozen, name):
    found = pretrained.apply_model_to_images(frozen, pictures()[name][None], batch_size=1)
    np.testing.assert_allclose(found[0], EXPECTED[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "thing"), [("china", PALACE), ("flower", DAISY)])
def test_known_photographs_are_recognised(weights, name, thing):
    logits = pretrained.apply_model_to_images(
        build_stages(weights, 0, CLASSIFIER, 224), pictures()[name][None], batch_size=1
    )[0]
    assert logits.argmax() == thing
    np.testing.assert_allclose(logits, EXPECTED[f"{name}_logits"], atol=1e-4, rtol=0)


def test_folding_batch_norm_changes_nothing_but_the_time(weights, small, whole):
    assert not [layer for layer in small.layers if "BatchNormalization" in type(layer).__name__]
    logits = (
        pretrained.apply_model_to_images(small, some_images(), batch_size=5) @ weights["_fc.weight"].T
        + weights["_fc.bias"]
    )
    np.testing.assert_allclose(logits, whole, atol=1e-4, rtol=0)


# --- what the features promise ------------------------------------------------------------------------------------


def test_an_image_has_the_same_features_whatever_stands_beside_it_and_again(weights, small):
    images = some_images(7)
    together = stage_outputs(weights, images, HEAD, batch_size=4, size=64)
    assert together.shape == (7, 1280)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(pretrained.apply_model_to_images(small, images, batch_size=4), together)
    np.testing.assert_array_equal(
        pretrained.apply_model_to_images(small, images[[6, 2]], batch_size=4), together[[6, 2]]
    )


def test_a_grey_image_is_a_colour_image_of_three_equal_channels(small):
    grey = some_images(channels=1)
    np.testing.assert_array_equal(
        pretrained.apply_model_to_images(small, grey, batch_size=5),
        pretrained.apply_model_to_images(small, np.repeat(grey, 3, axis=3), batch_size=5),
    )


@pytest.mark.parametrize("cut", [0, 11])
def test_a_network_cut_in_two_computes_what_the_whole_one_does(weights, whole, cut):
    held = stage_outputs(weights, some_images(), cut, batch_size=5, size=64)
    assert held.shape == (5, *activation_shape(cut, 64))
    upper = build_stages(weights, cut + 1, CLASSIFIER, 64)
    np.testing.assert_allclose(upper(held, training=False).numpy(), whole, atol=1e-4, rtol=0)


def test_two_segments_share_no_weights_and_can_be_trained(weights):
    import keras

    held = stage_outputs(weights, some_images(), 15, batch_size=5, size=64)
    one, other = (build_stages(weights, 16, HEAD, 64) for _ in range(2))
    before = [values.copy() for values in one.get_weights()]
    model = keras.Sequential([one, keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(held, np.arange(5.0), verbose=0)
    assert not np.array_equal(one.get_weights()[0], before[0])
    for kept, values in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, values)


def test_a_segment_is_saved_and_read_back_as_an_ordinary_model(weights, tmp_path):
    import keras

    model = build_stages(weights, 15, HEAD, 64)
    model.save(tmp_path / "upper.keras")
    held = np.random.default_rng(0).random((2, *activation_shape(14, 64)), dtype=np.float32)
    again = keras.models.load_model(tmp_path / "upper.keras")
    np.testing.assert_array_equal(again(held, training=False).numpy(), model(held, training=False).numpy())


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 8, 4), np.uint8)]
)
def test_anything_but_images_is_refused(weights, images):
    with pytest.raises(DataError, match="expected images as uint8"):
        stage_outputs(weights, images, HEAD, size=64)
