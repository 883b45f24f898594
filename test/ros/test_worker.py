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

    worker = LatestItemWorker(process, 'test_worker')
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
    assert left_over == (processed == [0])


def test_stop_leaves_no_thread():
    worker = LatestItemWorker(lambda arrival: None, 'test_worker_gone')
    worker.submit(1)
    worker.stop()
    assert 'test_worker_gone' not in [thread.name for thread in threading.enumerate()]
