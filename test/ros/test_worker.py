# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The newest item is worked on next; overtaken ones are counted, none is worked on twice."""

import threading

from seg_perception.ros.worker import LatestItemWorker


def start_blocked_worker():
    """Return a worker that waits inside its first item, what it processed, and how to go on."""
    processed, entered, go_on = [], threading.Event(), threading.Event()

    def process(arrival):
        processed.append(arrival.item)
        entered.set()
        go_on.wait(5)

    worker = LatestItemWorker([process], 'test_worker')
    worker.submit(0)
    assert entered.wait(5)
    entered.clear()
    return worker, processed, entered, go_on


def test_a_newer_item_overtakes_the_one_that_waits():
    worker, processed, entered, go_on = start_blocked_worker()
    overtook = [worker.submit(item) for item in (1, 2, 3)]
    go_on.set()
    assert entered.wait(5)
    worker.stop()
    assert overtook == [False, True, True]
    assert processed == [0, 3]


def test_stop_finishes_the_item_in_hand_and_reports_the_one_that_waited():
    worker, processed, _, go_on = start_blocked_worker()
    worker.submit(1)
    go_on.set()
    left_over = worker.stop()
    assert processed in ([0], [0, 1])
    assert left_over == ([0] if processed == [0] else [])


def test_stop_leaves_no_thread():
    worker = LatestItemWorker([lambda arrival: None], 'test_worker_gone')
    worker.submit(1)
    worker.stop()
    assert 'test_worker_gone' not in [thread.name for thread in threading.enumerate()]


def test_slots_take_turns_whatever_their_rates():
    processed, served, busy = [], threading.Semaphore(0), threading.Semaphore(0)

    def process(arrival):
        processed.append(arrival.item)
        served.release()
        assert busy.acquire(timeout=5)

    worker = LatestItemWorker([process] * 3, 'test_worker')
    worker.submit('b0', 1)
    assert served.acquire(timeout=5)
    for index in range(4):
        # slot 0 sends often, 1 once, 2 only at every second turn
        for _ in range(5):
            worker.submit(f'a{index}', 0)
        worker.submit(f'b{index}', 1)
        if index % 2:
            worker.submit(f'c{index}', 2)
        for _ in range(3 if index % 2 else 2):
            busy.release()
            assert served.acquire(timeout=5)
    busy.release()
    assert worker.stop() == []
    assert processed == ['b0', 'a0', 'b0', 'c1', 'a1', 'b1', 'a2', 'b2', 'c3', 'a3', 'b3']


def test_a_slot_overtakes_only_itself_and_stop_names_those_left():
    entered, go_on = threading.Event(), threading.Event()

    def process(arrival):
        entered.set()
        go_on.wait(5)

    worker = LatestItemWorker([process] * 3, 'test_worker')
    worker.submit(0, 0)
    assert entered.wait(5)
    assert [worker.submit(1, slot) for slot in (1, 2, 1)] == [False, False, True]
    threading.Timer(0.2, go_on.set).start()
    assert worker.stop() == [1, 2]
