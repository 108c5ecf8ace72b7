"""Batches from real files: what is in them, in which order, and that threads end."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import SCHEME, SIZE, frame, write_dataset

from carlaseg.dataset import Sample, open_dataset
from carlaseg.errors import DatasetError
from carlaseg.labels import remap, scheme
from carlaseg.pipeline import Crop, Mix, for_evaluation, for_inference, for_training, mapped
from carlaseg.pipeline.batches import ahead
from carlaseg.pipeline.cache import Frames, available_bytes, resized_image, resized_mask, room_in_memory

SAME = {SCHEME: scheme(SCHEME).void_table}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = write_dataset(tmp_path_factory.mktemp("data") / "drive", frames=7)
    return list(open_dataset(folder, SCHEME).samples)


@pytest.fixture
def cache_folder(tmp_path, monkeypatch) -> Path:
    """An empty folder of decoded frames."""
    monkeypatch.setenv("CARLASEG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "frames"


def worker_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("carlaseg-batches")]


@pytest.mark.parametrize("augment", ["none", "road"])
@pytest.mark.parametrize("cache", ["none", "ram", "disk"])
def test_a_batch_is_the_same_alone_in_order_and_after_a_restart(samples, augment, cache) -> None:
    batches = for_training(samples, SAME, SIZE, 2, augment, seed=4, cache=cache)
    whole = list(batches.epoch(3))
    again = for_training(samples, SAME, SIZE, 2, augment, seed=4, cache="none")
    resumed = list(again.epoch(3, start_step=2, workers=1))
    assert len(whole) == len(batches) == 4
    assert [image.shape for image, _ in whole] == [(2, *SIZE, 3)] * 4
    for (image_a, mask_a), (image_b, mask_b) in zip(whole[2:], resumed, strict=True):
        assert np.array_equal(image_a, image_b)
        assert np.array_equal(mask_a, mask_b)
    alone = again.batch(3, 1)
    assert np.array_equal(alone[0], whole[1][0])
    assert np.array_equal(alone[1], whole[1][1])


def test_every_epoch_shows_every_frame_in_another_order(samples) -> None:
    batches = for_training(samples, SAME, SIZE, 4, seed=1)
    first, second = batches.order(0), batches.order(1)
    assert set(first.tolist()) == set(range(7))
    assert len(first) == 8
    assert first.tolist() != second.tolist()
    assert first.tolist() != for_training(samples, SAME, SIZE, 4, seed=2).order(0).tolist()


@pytest.mark.parametrize("crop", [None, Crop((16, 20))], ids=["whole", "crops"])
def test_half_the_batch_and_twice_the_accumulation_see_the_same_frames(samples, crop) -> None:
    whole = for_training(samples, SAME, SIZE, 4, "scale", seed=3, crop=crop)
    halves = for_training(samples, SAME, SIZE, 2, "scale", seed=3, accumulate=2, crop=crop)
    assert (len(whole), len(halves)) == (2, 4)
    first, second = halves.batch(1, 2), halves.batch(1, 3)
    for part, joined in enumerate(whole.batch(1, 1)):
        assert np.array_equal(joined, np.concatenate([first[part], second[part]]))


def test_crops_look_for_rare_classes_until_whole_frames_come_back(samples) -> None:
    rare = np.zeros(256, bool)
    rare[14] = True  # the car, a twelfth of the frame
    crop = Crop((8, 8), rare, until_epoch=20)
    batches = for_training(samples, SAME, SIZE, 7, seed=0, crop=crop)
    plain = for_training(samples, SAME, SIZE, 7, seed=0, crop=Crop((8, 8)))

    def share_with_a_car(source) -> float:
        return float(np.mean([(source.batch(epoch, 0)[1] == 14).any(axis=(1, 2)).mean() for epoch in range(20)]))

    assert batches.batch(0, 0)[0].shape == (7, 8, 8, 3)
    assert share_with_a_car(batches) > 0.5 * (1 + share_with_a_car(plain)) - 0.12
    assert batches.batch(20, 0)[0].shape == (7, *SIZE, 3)


def test_a_dataset_smaller_than_a_batch_still_fills_one(samples) -> None:
    images, masks = for_training(samples[:3], SAME, SIZE, 8).batch(0, 0)
    assert (images.shape, masks.shape) == ((8, *SIZE, 3), (8, *SIZE))


def test_batches_hold_the_bytes_of_the_files_and_never_those_of_the_cache(samples) -> None:
    evaluation = for_evaluation(samples, SAME, SIZE, 3)
    batches = list(evaluation)
    assert [len(images) for images, _ in batches] == [3, 3, 1]
    images = np.concatenate([images for images, _ in batches])
    masks = np.concatenate([masks for _, masks in batches])
    for number in range(7):
        image, mask = frame(number)
        assert np.array_equal(images[number], image)
        assert np.array_equal(masks[number], mask)
    batches[0][0][:] = 0
    assert np.array_equal(evaluation.batch(0)[0][0], frame(0)[0])


def test_masks_are_remapped_by_the_table(samples) -> None:
    to_camvid = remap(scheme(SCHEME), scheme("camvid"))
    _, masks = for_evaluation(samples, {SCHEME: scheme("camvid").void_table[to_camvid.table]}, SIZE, 7).batch(0)
    expected = to_camvid.apply(np.stack([frame(number)[1] for number in range(7)]))
    assert np.array_equal(masks, expected)


def test_resizing_keeps_ids_and_averages_colours() -> None:
    image, mask = frame(0, (48, 64))
    assert set(np.unique(resized_mask(mask, (17, 23))).tolist()) <= {1, 11, 14}
    expected = image.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(resized_image(image, (24, 32)) - expected).max() <= 1
    assert resized_image(image, (100, 100)).shape == (100, 100, 3)


def test_a_cache_that_does_not_fit_is_left_out_and_says_so(samples, capsys) -> None:
    frames = Frames(samples, SAME, SIZE, "ram", room_bytes=1000)
    assert not frames.cached
    assert "every epoch decodes again" in capsys.readouterr().err
    assert np.array_equal(frames.read(2)[0], frame(2)[0])
    assert Frames(samples, SAME, SIZE, "ram").cached
    assert available_bytes() > 1 << 20


def test_frames_say_what_memory_they_will_take_and_give_it_back(samples) -> None:
    needed = len(samples) * SIZE[0] * SIZE[1] * 4
    frames = Frames(samples, SAME, SIZE, "ram", room_bytes=needed)
    assert frames.planned_bytes == needed
    frames.leave_memory()
    assert (frames.cached, frames.planned_bytes) == (False, 0)
    assert not Frames(samples, SAME, SIZE, "ram", room_bytes=needed - 1).cached
    assert room_in_memory(4) <= available_bytes() / 7


def test_frames_on_disk_are_found_again_by_the_next_run_and_never_when_a_file_has_changed(
    tmp_path, cache_folder
) -> None:
    samples = list(open_dataset(write_dataset(tmp_path / "drive", frames=3), SCHEME).samples)
    everything = np.arange(3)
    first = Frames(samples, SAME, SIZE, "disk").gather(everything)
    (kept,) = cache_folder.iterdir()
    # What the files hold is what comes, not the pictures again: a mark in the store shows.
    marked = mapped.FramesOnDisk(kept, 3, SIZE)
    marked.put(1, np.full((*SIZE, 3), 7, np.uint8), first[1][1])
    again = Frames(samples, SAME, SIZE, "disk").gather(everything)
    assert (again[0][1] == 7).all()
    assert np.array_equal(again[0][0], first[0][0])
    path = samples[1].image_path
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert np.array_equal(Frames(samples, SAME, SIZE, "disk").gather(everything)[0], first[0])
    assert len(list(cache_folder.iterdir())) == 2


def test_a_frame_that_a_power_cut_left_half_written_is_decoded_again(samples, cache_folder) -> None:
    whole = Frames(samples, SAME, SIZE, "disk").gather(np.arange(7))
    (kept,) = cache_folder.iterdir()
    with (kept / "images").open("r+b") as file:
        file.write(bytes(100))
    assert np.array_equal(Frames(samples, SAME, SIZE, "disk").gather(np.arange(7))[0], whole[0])


def test_the_least_recently_used_frames_make_room_and_those_in_use_do_not(
    samples, cache_folder, monkeypatch, capsys
) -> None:
    def open_at(height: int) -> Frames:
        return Frames(samples, SAME, (height, 32), "disk")

    def heights() -> list[int]:
        return sorted((path / "masks").stat().st_size // (7 * 32) for path in cache_folder.iterdir())

    used = open_at(8)
    open_at(9)
    open_at(10)
    for age, path in enumerate(sorted(cache_folder.iterdir(), key=lambda path: (path / "masks").stat().st_size)):
        os.utime(path, (age, age))
    taken = sum(mapped._length(path) for path in cache_folder.iterdir())
    # Half of what is free and taken together is what is taken now.
    monkeypatch.setattr(mapped.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, taken))
    assert open_at(7).cached
    assert used.cached
    assert heights() == [7, 8, 10]
    assert not open_at(600).cached
    assert "every epoch decodes again" in capsys.readouterr().err


def test_a_run_that_starts_beside_another_does_not_empty_the_files_that_it_has_mapped(
    samples, cache_folder, monkeypatch
) -> None:
    reserve, second_waits = mapped._reserve, threading.Event()

    def slowly(path: Path, length: int) -> None:
        if path.name == "sums" and not second_waits.is_set():
            other.start()
            second_waits.wait(0.2)  # as long as it takes the other to come here, too, if nothing holds it back
        reserve(path, length)

    def open_too() -> None:
        opened.append(Frames(samples, SAME, SIZE, "disk"))

    opened: list[Frames] = []
    other = threading.Thread(target=open_too)
    monkeypatch.setattr(mapped, "_reserve", slowly)
    first = Frames(samples, SAME, SIZE, "disk")
    second_waits.set()
    whole = first.gather(np.arange(7))
    other.join()
    assert np.array_equal(first.gather(np.arange(7))[0], whole[0])
    assert opened[0].gather(np.arange(7))[0].any()


def test_datasets_are_mixed_by_their_weights_and_every_frame_comes_in_time(samples) -> None:
    part_of = np.array([0, 0, 0, 0, 0, 1, 1])
    batches = for_training(samples, SAME, SIZE, 4, seed=1, mix=Mix(part_of, (1, 3)))
    orders = [batches.order(epoch) for epoch in range(12)]
    assert [len(order) for order in orders] == [8] * 12
    assert [int((part_of[order] == 0).sum()) for order in orders] == [2] * 12
    assert set(np.concatenate(orders).tolist()) == set(range(7))
    assert np.bincount(part_of[batches.order(0)]).tolist() == [2, 6]
    assert (
        batches.order(3).tolist()
        == for_training(samples, SAME, SIZE, 4, seed=1, mix=Mix(part_of, (2, 6))).order(3).tolist()
    )


def test_the_parts_of_several_processes_are_the_batch_of_one(samples) -> None:
    whole = for_training(samples, SAME, SIZE, 4, "scale", seed=3, crop=Crop((16, 20))).batch(1, 1)
    parts = [
        for_training(samples, SAME, SIZE, 4, "scale", seed=3, crop=Crop((16, 20)), part=(rank, 2)).batch(1, 1)
        for rank in range(2)
    ]
    for kind, joined in enumerate(whole):
        assert np.array_equal(joined, np.concatenate([part[kind] for part in parts]))


def test_cached_frames_outlive_their_files(tmp_path) -> None:
    folder = write_dataset(tmp_path / "drive", frames=3)
    batches = for_training(list(open_dataset(folder, SCHEME).samples), SAME, SIZE, 3)
    first = batches.batch(0, 0)
    for path in folder.rglob("*.png"):
        path.unlink()
    assert np.array_equal(np.sort(batches.batch(1, 0)[0], axis=0), np.sort(first[0], axis=0))


def test_threads_end_with_the_iterator_when_it_is_left_early(samples) -> None:
    epoch = for_training(samples, SAME, SIZE, 1, "none", cache="none").epoch(0, workers=2)
    next(epoch)
    assert worker_threads()
    epoch.close()
    assert not worker_threads()


def test_prefetching_is_bounded() -> None:
    made: list[int] = []
    results = ahead(lambda n: made.append(n) or n, range(100), workers=2)
    assert next(results) == 0
    results.close()
    assert len(made) <= 5


def test_an_exception_is_raised_at_its_place_and_the_threads_end() -> None:
    results = ahead(lambda n: 6 // (3 - n), range(10), workers=2)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not worker_threads()


def test_a_damaged_file_names_itself_in_training(tmp_path) -> None:
    folder = write_dataset(tmp_path / "drive", frames=2)
    samples = list(open_dataset(folder, SCHEME).samples)
    broken = samples[1].image_path
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(DatasetError, match=broken.name):
        list(for_training(samples, SAME, SIZE, 1).epoch(0))


def test_frames_without_masks_and_masks_of_another_size_are_refused(tmp_path) -> None:
    bare = list(open_dataset(write_dataset(tmp_path / "bare", frames=2, masks=False)).samples)
    with pytest.raises(DatasetError, match=r"expected a mask beside the image.*2 of 2"):
        for_training(bare, SAME, SIZE, 1)
    with pytest.raises(DatasetError, match="at least one frame"):
        for_evaluation([], SAME, SIZE, 1)
    samples = list(open_dataset(write_dataset(tmp_path / "odd", frames=2), SCHEME).samples)
    assert cv2.imwrite(str(samples[0].mask_path), np.ones((5, 5), np.uint8))
    with pytest.raises(DatasetError, match=r"expected the size of its image, 24x32, received 5x5"):
        for_evaluation(samples, SAME, SIZE, 1).batch(0)


def test_a_step_outside_the_epoch_is_refused(samples) -> None:
    with pytest.raises(IndexError, match="expected 0 to 3, received 4"):
        for_training(samples, SAME, SIZE, 2).batch(0, 4)


def test_inference_goes_on_after_a_damaged_image(tmp_path) -> None:
    folder = write_dataset(tmp_path / "drive", frames=5)
    samples = list(open_dataset(folder, SCHEME).samples)
    samples[2].image_path.write_bytes(b"not a picture")
    batches = list(for_inference(samples, (12, 16), 2, SAME[SCHEME]))
    assert [len(batch.images) for batch in batches] == [2, 2]
    assert batches[0].images.shape == (2, 12, 16, 3)
    assert [f.sample.name for batch in batches for f in batch.frames] == [
        s.name for i, s in enumerate(samples) if i != 2
    ]
    damaged = [f for batch in batches for f in batch.damaged]
    assert [f.sample for f in damaged] == [samples[2]]
    assert samples[2].image_path.name in str(damaged[0].problem)


def test_inference_keeps_the_image_when_its_mask_is_damaged(tmp_path) -> None:
    samples = list(open_dataset(write_dataset(tmp_path / "drive", frames=1), SCHEME).samples)
    mask_path = samples[0].mask_path
    assert mask_path is not None
    mask_path.write_bytes(b"")
    (batch,) = for_inference(samples, None, 1, SAME)
    assert batch.frames[0].truth is None
    assert mask_path.name in str(batch.frames[0].problem)
    assert np.array_equal(batch.images[0], frame(0)[0])


def test_inference_never_mixes_sizes_in_a_batch(tmp_path) -> None:
    small = list(open_dataset(write_dataset(tmp_path / "a", frames=2), SCHEME).samples)
    large = list(open_dataset(write_dataset(tmp_path / "b", frames=3, size=(48, 64)), SCHEME).samples)
    own = [batch.images.shape for batch in for_inference([*small, *large], None, 4)]
    assert own == [(2, 24, 32, 3), (3, 48, 64, 3)]
    fixed = [len(batch.frames) for batch in for_inference([*small, *large], (16, 16), 4)]
    assert fixed == [2, 3]


def test_truth_is_not_read_unless_asked_for(samples: list[Sample], tmp_path: Path) -> None:
    (batch,) = for_inference(samples[:2], SIZE, 2)
    assert [f.truth for f in batch.frames] == [None, None]
