#!/usr/bin/env python3
"""Writes a copy of src/channel.cpp with one bug planted: plant.py BUG SOURCE TARGET

Fails when the place is not found exactly once, so that a change of the channel cannot make a bug disappear unseen.
"""
import pathlib
import sys

BUGS = {
    # Receivers that wait are not told of the end.
    "close_forgets_receivers": (
        "for (sched::wait_queue* q : {&senders_, &receivers_}) {",
        "for (sched::wait_queue* q : {&senders_}) {"),
    # A receive makes room in the buffer, and the sender that waits for it goes on waiting.
    "room_wakes_nobody": (
        "    take_front(optional);\n    admit_waiting_sender(woken);\n",
        "    take_front(optional);\n"),
    # A sender that the close has found waiting takes its value for delivered.
    "close_looks_like_delivery": (
        "        granted(*n, saw_close, woken);\n",
        "        granted(*n, q == &senders_ ? completed : saw_close, woken);\n"),
    # A receiver that has its value, and is canceled before it runs, throws the value away.
    "cancellation_after_the_hand_over": (
        "    if (t == sched::granted) return channel_core::finish_receive(c, n);\n",
        "    if (t == sched::granted) check_canceled(how.extra);\n"
        "    if (t == sched::granted) return channel_core::finish_receive(c, n);\n"),
}

bug, source, target = sys.argv[1:]
before, after = BUGS[bug]
text = pathlib.Path(source).read_text()
if text.count(before) != 1:
    sys.exit(f"plant.py: {source} has {text.count(before)} places for {bug}")
pathlib.Path(target).write_text(text.replace(before, after))
