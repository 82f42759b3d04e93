# Copyright 2026 tinyvla_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Record every episode as a rosbag2 directory, each message as its publisher serialized it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from std_srvs.srv import SetBool, Trigger

from tinyvla_ros.arm.contract_streams import COMPRESSED_IMAGE, IMAGE
from tinyvla_ros.bags.definitions import definition
from tinyvla_ros.bags.episode_counts import EpisodeCounts
from tinyvla_ros.bags.episode_sorter import AwakeClock, EpisodeSorter
from tinyvla_ros.bags.metadata import TopicMetadata, safe_name
from tinyvla_ros.bags.reader import DISCARDED
from tinyvla_ros.bags.recorded_message import CLOCK_TRUST_S, RawMessage, as_jpeg
from tinyvla_ros.bags.writer_thread import WriterThread
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.commander import is_commander_topic
from tinyvla_ros.core.ros.episode_event import ABORT, BEGIN, END, EpisodeEvent
from tinyvla_ros.nodes.recorder.recorded_topics import RecordedTopics
from tinyvla_ros.nodes.recorder.recorder_parameters import RecorderParameters, episode_metadata
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters
from tinyvla_ros.nodes.shared.run_guard import SETTLE_S, RunGuard
from tinyvla_ros.nodes.shared.runner import ERROR, OK, WARN, Diagnostics, run_node
from tinyvla_ros.nodes.shared.topics import fits, message_class, offered_qos, patterns

EVENT = "diagnostic_msgs/msg/DiagnosticStatus"
# Periods of looking for new topics and of sorting messages, s.
DISCOVERY_S, TICK_S = 0.2, 0.03
# Latched events of earlier episodes arrive together when this node starts. A `begin` among them
# belongs to a running episode if no `end` follows within this time, s.
LATCHED_EVENTS_S = 0.2

class EpisodeRecorderNode(Node):
    """Subscribes to every topic that is published; ``episode`` events begin and end the bags.

    Attributes:
        exit_code: set to end the process.
    """

    def __init__(self):
        super().__init__("episode_recorder_node")
        self.exit_code: int | None = None
        self._options = p = declare_parameters(self, RecorderParameters, self._on_parameters)
        # Topics outside of this run's namespace, and when they were seen first, steady s.
        self._elsewhere: dict[str, float] = {}
        self._guard = RunGuard(self, p.run, "episode", on_settled=self._begin_to_listen)
        self._include, self._exclude = (patterns(n, getattr(p, n)) for n in ("topics", "exclude"))
        self._metadata = episode_metadata(p)
        self._events = self.resolve_topic_name("episode")
        self._writer = WriterThread(Path(p.out), p.compression, p.buffer_mb * 1_000_000,
                                    p.min_free_mb * 1_000_000)
        self._counts = EpisodeCounts(self._writer.out)
        self._begun_s = 0.0  # steady s, of the episode that is recorded
        self._awake = AwakeClock()
        self._sorter = EpisodeSorter(self._writer, (self._events, "/diagnostics"))
        self._topics = RecordedTopics(
            self, self._events, self._is_wanted, self._on_topic, self._sorter.latch,
            self._sorter.stop_counting_losses, self._on_message)
        self._reported: set[str] = set()  # failures that are in the log already
        self._run = ""  # whose episode is recorded; empty if its `begin` does not say
        self._ignored = ""
        # An episode that began before this node started, and may have ended by now.
        self._earlier_begin: tuple[int, dict[str, str]] | None = None
        self.create_service(Trigger, "~/begin", self._on_begin)
        self.create_service(SetBool, "~/end", self._on_end)
        self.create_service(Trigger, "~/discard", self._on_discard)
        self._diagnostics = Diagnostics(self, "recording", "", self._describe)
        # Wall timers: a stalled simulation clock must not stop the recorder.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(TICK_S, self._tick, clock=steady)

    def _begin_to_listen(self) -> None:
        self.create_timer(DISCOVERY_S, self._topics.discover,
                          clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._topics.discover()
        self.get_logger().info(f"recording episodes to {Path(self._options.out).resolve()}")

    def close(self) -> None:
        """Complete the bags; called when the process ends, for any reason."""
        self._sorter.close(time.time_ns())
        self._writer.close()
        self._guard.release()
        self._report_bags()

    def _report_bags(self) -> bool:
        """Write to the log what became of bags; return whether anything did."""
        finished, discarded = self._writer.take_finished(), self._writer.take_discarded()
        for path in finished:
            self.get_logger().info(f"recorded {path}")
        for path in discarded:
            self.get_logger().info(f"discarded: {path}")
        return bool(finished or discarded)

    def _on_parameters(self, parameters: RecorderParameters, changed: set[str]
                       ) -> Callable[[], None]:
        metadata = episode_metadata(parameters)

        def apply() -> None:
            self._options, self._metadata = parameters, metadata

        return apply

    # ---- topics ---------------------------------------------------------------------------

    def _is_wanted(self, topic: str) -> bool:
        # A recorder that was started alone records what it finds.
        if self._options.run and (self._guard.is_of_another_run(topic)
                                  or not self._is_familiar(topic)):
            return False
        # Without those nobody could tell whose an episode is.
        return topic == self._events or is_commander_topic(topic) or (
            fits(topic, self._include) and not fits(topic, self._exclude))

    def _is_familiar(self, topic: str) -> bool:
        """Whether a topic of another namespace has been there for long enough to be claimed.

        A run beside this one may be seen before it has claimed its topics.
        """
        if topic.startswith(f"{self.get_namespace().rstrip('/')}/"):
            return True
        now = time.monotonic()
        return now - self._elsewhere.setdefault(topic, now) >= SETTLE_S

    def _on_topic(self, topic: str, kind: str, publishers: list) -> None:
        if topic == self._events and kind != EVENT:
            raise InputError(f"no episode begins or ends by it: its messages are {kind}, episode "
                             f"events are {EVENT}; rename the other topic, or remap 'episode'.")
        message_class(kind)  # must be installed
        described, offered = definition(kind), [offered_qos(p.qos_profile) for p in publishers]
        if self._options.jpeg_quality and kind == IMAGE:
            self._writer.topic(
                topic, TopicMetadata(f"{topic}/compressed", COMPRESSED_IMAGE,
                                     definition(COMPRESSED_IMAGE), offered),
                lambda data: as_jpeg(data, self._options.jpeg_quality))
        else:
            self._writer.topic(topic, TopicMetadata(topic, kind, described, offered))

    def _on_message(self, message: RawMessage) -> None:
        if message.topic == self._events:
            self._on_event(message)
        self._sorter.add(message, self._awake())

    # ---- episodes -------------------------------------------------------------------------

    def _on_event(self, message: RawMessage) -> None:
        event = EpisodeEvent.read(deserialize_message(message.data, DiagnosticStatus))
        values = dict(event.values)
        late_s = (message.log_ns - message.publish_ns) / 1e9
        if self._is_of_another_run(event):
            return
        if event.kind == BEGIN and late_s > CLOCK_TRUST_S:
            self._earlier_begin = (message.time_ns, values | {"begun_late_s": f"{late_s:.1f}"})
        elif event.kind == BEGIN:
            self._earlier_begin = None
            self._begin(message.time_ns, values)
        elif event.kind in (END, ABORT):
            self._earlier_begin = None
            if self._sorter.recording:
                self._end(message.time_ns, values | {"outcome": event.outcome})
                if event.discards:
                    self._sorter.discard()
            elif event.discards and self._is_of_last(event):
                self._sorter.discard()

    def _is_of_another_run(self, event: EpisodeEvent) -> bool:
        """Whether an event would end the episode of a run that goes on without it."""
        other = self._sorter.recording and self._run and event.run not in ("", self._run)
        if not other:
            return False
        self._ignored = f"{event.kind!r} of run {event.run} came during an episode of {self._run}"
        self.get_logger().warning(self._ignored)
        # One that begins ends the other, which may have died: its bag says `interrupted`.
        return event.kind in (END, ABORT)

    def _is_of_last(self, event: EpisodeEvent) -> bool:
        """Whether an event that came after the end of an episode is of the last one."""
        if self._sorter.last is None:
            return False
        name, about = self._sorter.last
        same = event.run in ("", self._run) and \
            event.values.get("index", about.get("index")) == about.get("index")
        if not same:
            self.get_logger().warning(
                f"{event.kind!r} of episode {event.values.get('index')} of run {event.run or '?'} "
                f"is ignored, because the last one recorded is {name}")
        return same

    def _begin(self, at_ns: int, values: dict[str, str]) -> None:
        self._run = values.get("run", "")
        self._topics.several.clear()
        self._topics.discover()  # who publishes during this episode
        for topic in self._topics.deserted_commanders():
            self._sorter.forget_latched(topic)
        name = safe_name((f"{int(values['index']):04d}" if values.get("index", "").isdigit()
                          else time.strftime("%Y%m%d-%H%M%S"), values.get("task", ""),
                          f"seed{values['seed']}" if "seed" in values else ""))
        namespace = {} if self.get_namespace() == "/" else {"namespace": self.get_namespace()}
        self._begun_s = time.monotonic()
        self._sorter.begin(name, at_ns, self._awake(), self._metadata | namespace | values)
        self._diagnostics.publish()

    def _end(self, at_ns: int, values: dict[str, str]) -> None:
        several = {f"publishers {t}": names for t, names in self._topics.several.items()}
        self._sorter.end(at_ns, self._awake(), values | several)
        self._ignored = ""
        self._diagnostics.publish()

    def _on_begin(self, request, response):
        if self._sorter.recording:
            response.success = False
            response.message = f"{self._sorter.recording} is being recorded; call ~/end first"
            return response
        self._begin(time.time_ns(), {})
        response.success, response.message = True, f"recording {self._sorter.recording}"
        return response

    def _on_end(self, request, response):
        name = self._sorter.recording
        if not name:
            response.success, response.message = False, "nothing is being recorded"
            return response
        self._end(time.time_ns(), {"outcome": "success" if request.data else "failure",
                                   "success": str(request.data)})
        response.success, response.message = True, f"recorded {name}"
        return response

    def _on_discard(self, request, response):
        name, place = self._sorter.recording, self._writer.out / DISCARDED
        if name:
            self._end(time.time_ns(), {"outcome": "discarded"})
        elif self._sorter.last is None:
            response.success = False
            response.message = ("nothing is being recorded, and no episode was since this node "
                                "started or the last one was discarded; move an older bag to "
                                f"{place} yourself")
            return response
        else:
            name = self._sorter.last[0]
        self._sorter.discard()
        response.success, response.message = True, f"{name} is discarded, it goes to {place}"
        return response

    def _tick(self) -> None:
        if not self._guard.settled:  # what is there already need not wait once more
            for name, _ in self.get_topic_names_and_types():
                self._is_familiar(name)
        if self._earlier_begin is not None:
            at_ns, values = self._earlier_begin
            if time.time_ns() - at_ns > LATCHED_EVENTS_S * 1e9:
                self._earlier_begin = None
                self._begin(at_ns, values)
        self._sorter.tick(self._awake())
        if self._report_bags():
            self._counts.refresh()
            self._diagnostics.publish()
        for name in self._sorter.empty:
            self.get_logger().warning(f"episode {name} had no messages; there is no bag of it")
        self._sorter.empty.clear()
        if self._writer.failure and self._writer.failure not in self._reported:
            self._reported.add(self._writer.failure)
            self.get_logger().error(self._writer.failure)
            self._diagnostics.publish()

    def _describe(self):
        writer, sorter = self._writer, self._sorter
        self._counts.refresh()  # somebody may have moved bags
        values = {"episode": sorter.recording, **self._counts.values, "bags": writer.bags,
                  "bytes": writer.bytes, "buffered_bytes": writer.buffered,
                  "disk_free_mb": shutil.disk_usage(writer.out).free // 1_000_000}
        if sorter.recording:
            values["recording_s"] = f"{time.monotonic() - self._begun_s:.1f}"
        for kind, counts in (("messages", writer.recorded), ("dropped", writer.dropped),
                             ("lost", sorter.lost)):
            # dict() copies at once; the writer thread may add a topic during the loop.
            values |= {f"{kind} {t}": n for t, n in dict(counts).items()}
        unreadable, several = self._topics.unreadable, self._topics.several
        values |= {f"publishers {t}": names for t, names in several.items()}
        if writer.failure:
            return ERROR, writer.failure, values
        if writer.dropped:
            dropped = writer.dropped.total()
            return ERROR, f"the disk is too slow: {dropped} messages dropped", values
        if unreadable:
            return WARN, f"not recorded: {', '.join(unreadable)}", values
        if several:
            return WARN, f"several publishers: {', '.join(several)}", values
        if self._ignored:
            return WARN, self._ignored, values
        return OK, f"recording {sorter.recording}" if sorter.recording else "idle", values


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros episode_recorder_node``."""
    return run_node(EpisodeRecorderNode)
