"""The journal: what one process tells another through a file that may be full, gone or spoilt."""

from __future__ import annotations

import resource
import shutil
import threading

import pytest
from mixpi.run.journal import (
    PROGRESS_EVERY,
    Connected,
    Dropped,
    Failed,
    Journal,
    JournalReader,
    Progressed,
    Warned,
)


EVENTS = [
    Connected("cheap", 123),
    Dropped("expensive", 0, "does not reply as it should"),
    Warned("two\nlines, 3 Å, \u2028 and what is no UTF-8: \udcff"),
    Progressed(7, 1, 2, 3),
    Failed("the reason"),
]


@pytest.fixture
def reader(tmp_path):
    return JournalReader(tmp_path / "journal.jsonl")


@pytest.fixture
def journal(reader):
    found = Journal()
    found.open(reader.path)
    return found


def test_what_is_told_is_heard_once(reader, journal):
    assert reader.news() == []
    for event in EVENTS[:2]:
        journal.tell(event)
    assert reader.news() == EVENTS[:2]
    for event in EVENTS[2:]:
        journal.tell(event)
    assert reader.news() == EVENTS[2:] and reader.news() == []


def test_half_a_line_is_waited_for(reader, journal):
    journal.tell(EVENTS[2])
    whole = reader.path.read_bytes()
    for length in range(len(whole)):
        reader.path.write_bytes(whole[:length])
        assert reader.news() == []
    reader.path.write_bytes(whole)
    assert reader.news() == [EVENTS[2]]


GARBAGE = [
    b"",
    b"\0" * 100,
    b"\xff\xfe",
    b"nonsense",
    b'{"event": "connected", "pool": "cheap", "pi',
    b"[1, 2]",
    b"3",
    b"[" * 100_000,
    b'{"pool": "cheap", "pid": 1}',
    b'{"event": "arrived", "pool": "cheap", "pid": 1}',
    b'{"event": ["connected"], "pool": "cheap", "pid": 1}',
    b'{"event": "connected", "pool": "cheap"}',
    b'{"event": "connected", "pool": "cheap", "pid": 1, "more": 2}',
    b'{"event": "connected", "pool": "cheap", "pid": "1"}',
    b'{"event": "connected", "pool": "cheap", "pid": true}',
    b'{"event": "failed", "reason": null}',
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_passed_over(reader, journal, garbage):
    journal.tell(EVENTS[0])
    with reader.path.open("ab") as stream:
        stream.write(garbage + b"\n")
    journal.tell(EVENTS[1])
    assert reader.news() == EVENTS[:2]


def test_an_older_journal_is_another_run_s(tmp_path):
    path, others = tmp_path / "journal.jsonl", tmp_path / "others"
    others.write_text('{"event": "failed", "reason": "of another run"}\n')
    path.symlink_to(others)
    assert JournalReader(path).news() == []
    assert others.exists() and not path.is_symlink()


def test_a_full_disk_delays_what_is_told(reader, journal):
    """Half a line fits; the rest is written when there is room, and in order."""
    journal.tell(EVENTS[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (reader.path.stat().st_size + 10, hard))
    try:
        journal.tell(EVENTS[1])
        journal.tell(EVENTS[2])
        for step in range(100):
            journal.tell_progress(Progressed(step, 1, 2, 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert reader.path.stat().st_size > 10 and reader.news() == EVENTS[:1]
    journal.flush()
    assert reader.news() == [*EVENTS[1:3], Progressed(99, 1, 2, 3)]


def test_a_folder_that_is_gone_changes_nothing(reader, journal):
    journal.tell(EVENTS[0])
    shutil.rmtree(reader.path.parent)
    journal.tell(EVENTS[1])
    assert reader.news() == EVENTS[:2]


def test_progress_is_told_now_and_then(reader, journal, monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    told = [Progressed(step, 1, 2, 3) for step in range(100)]
    for event in told[:50]:
        journal.tell_progress(event)
    assert reader.news() == told[:1]
    now += PROGRESS_EVERY
    for event in told[50:]:
        journal.tell_progress(event)
    assert reader.news() == told[50:51]
    journal.flush()
    journal.flush()
    assert reader.news() == told[-1:], "the last is told at the end"


def test_many_threads(reader, journal):
    def tell(pool):
        for pid in range(200):
            journal.tell(Connected(pool, pid))

    threads = [threading.Thread(target=tell, args=(f"pool {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard = reader.news()
    assert len(heard) == 800
    for number in range(4):
        pids = [event.pid for event in heard if event.pool == f"pool {number}"]
        assert pids == list(range(200))


def test_without_a_launcher_nothing_is_told(tmp_path):
    journal = Journal()
    assert not journal.is_open
    for event in EVENTS:
        journal.tell(event)
    journal.tell_progress(Progressed(1, 1, 2, 3))
    journal.flush()
    assert not journal._unwritten
