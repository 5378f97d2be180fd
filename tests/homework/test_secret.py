"""The course key: who may read it, and what comes from it."""

import os
import stat

import pytest

from minigrad.homework.grading.secret import (
    SecretError,
    fingerprint,
    new_key,
    read_key,
    seed_of,
)

posix = pytest.mark.skipif(os.name != "posix", reason="needs the permissions of a Unix system")


def test_a_new_key_is_read_back_and_is_another_one_each_time(tmp_path):
    keys = {new_key(tmp_path / name) for name in "abc"}
    assert len(keys) == 3 and min(map(len, keys)) >= 32
    assert read_key(tmp_path / "a") in keys


@posix
def test_only_its_owner_can_read_a_new_key(tmp_path):
    before = os.umask(0)
    try:
        new_key(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_no_key_is_written_over(tmp_path):
    key = new_key(tmp_path / "key")
    with pytest.raises(SecretError, match="key exists"):
        new_key(tmp_path / "key")
    assert read_key(tmp_path / "key") == key
    with pytest.raises(SecretError, match="cannot be written"):
        new_key(tmp_path / "no" / "key")


def test_a_key_that_is_missing_short_or_read_by_others_is_refused(tmp_path):
    with pytest.raises(SecretError, match=r"instructor key course\.key"):
        read_key(tmp_path / "course.key")
    (tmp_path / "short").write_bytes(b"123\n")
    (tmp_path / "short").chmod(0o600)
    with pytest.raises(SecretError, match="3 bytes"):
        read_key(tmp_path / "short")


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_that_others_can_open_is_refused(tmp_path, mode):
    new_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(SecretError, match="chmod 600 key"):
        read_key(tmp_path / "key")


def test_seeds_depend_on_key_homework_and_code_and_on_nothing_else():
    seeds = [seed_of(key, hw, digest) for key in (b"k" * 16, b"l" * 16) for hw in ("hw1", "hw2")
             for digest in ("a" * 64, "b" * 64)]
    assert len(set(seeds)) == 8 and all(0 < seed < 2**48 for seed in seeds)
    assert seeds == [seed_of(key, hw, digest) for key in (b"k" * 16, b"l" * 16)
                     for hw in ("hw1", "hw2") for digest in ("a" * 64, "b" * 64)]
    assert seed_of(b"k" * 16, "hw1", "1:x") != seed_of(b"k" * 16, "hw11", ":x")


def test_a_fingerprint_tells_keys_apart():
    assert fingerprint(b"k" * 16) != fingerprint(b"l" * 16)
    assert len(fingerprint(b"k" * 16)) == 8
