// Copyright 2026 tinyvla_ros contributors. SPDX-License-Identifier: Apache-2.0
// The connection, what the server says, and buttons that ask for one thing.
import { Driver } from "/drive.js";
import { Plot } from "/plot.js";

const $ = (id) => document.getElementById(id);
const LEVELS = ["", "warning", "error", "stale"];
const RECONNECT_MS = 1000, TOLD_MS = 10000, ANSWER_MS = 4000, SILENCE_MS = 1500, SILENCE_HIDDEN_MS = 10000;
// Older pictures are marked, s.
const OLD_S = 1;
let socket = null, about = null, state = null, asked = 0, toldTimer = 0, heardMs = 0, shown = 0;
const answers = new Map(), images = [], urls = [];
const plot = new Plot($("plot"));
const driver = new Driver(send, ask, () => state?.sent ?? 0, {
  deadman: $("deadman"), jogs: $("jogs"), speed: $("speed") });

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/page`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { if (document.hidden) send({ do: "hide" }); };
  heardMs = performance.now();
  socket.onmessage = ({ data }) => {
    heardMs = performance.now();
    if (typeof data !== "string") return showPicture(new Uint8Array(data));
    const [[kind, value]] = Object.entries(JSON.parse(data));
    ({ about: showAbout, state: showState, answer: showAnswer, refused: showRefused })[kind](value);
  };
  socket.onclose = () => {
    driver.drives(false);
    state = null;
    shown = 0;
    answers.clear();
    pill("not connected", 2);
    $("reason").textContent = "The connection to panel_node is lost. If this page held the arm, the arm holds.";
    for (const image of images) image.classList.add("old");
    fetch("/").then(async (answer) => { if (!answer.ok) $("reason").textContent = await answer.text(); }, () => {});
    for (const part of document.querySelectorAll("[data-driver] button, [data-driver] input, #take, #leave, #stop"))
      part.disabled = true;
    setTimeout(connect, RECONNECT_MS);
  };
}

// A network that is cut off says nothing for minutes: what is shown would be taken for what is.
setInterval(() => {
  const limit = document.hidden ? SILENCE_HIDDEN_MS : SILENCE_MS;
  if (socket?.onclose && performance.now() - heardMs > limit) {
    const silent = socket, closed = silent.onclose;
    silent.onclose = silent.onmessage = null;
    silent.close();
    closed();
  }
  if (shown) { send({ do: "seen", pictures: shown }); shown = 0; }
}, 50);

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function ask(message) {
  const id = ++asked;
  answers.set(id, message);
  send({ ...message, id });
  setTimeout(() => {
    if (answers.delete(id)) tell(`${message.what ?? message.do} was not answered. In danger use the arm's own stop.`, false);
  }, ANSWER_MS);
}

function showAnswer({ id, ok, text }) {
  answers.delete(id);
  if (text) tell(text, ok);
}

function showRefused(text) { tell(text, false); }

function tell(text, ok = true) {
  clearTimeout(toldTimer);
  toldTimer = setTimeout(() => { $("told").textContent = ""; }, TOLD_MS);
  $("told").textContent = text;
  $("told").classList.toggle("refused", !ok);
}

function showAbout(value) {
  about = value;
  $("robot").textContent = [about.namespace, about.robot].filter(Boolean).join("/");
  document.title = `${about.robot} - tinyvla panel`;
  $("cameras").replaceChildren(...about.cameras.map((name, i) => {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    images[i] = Object.assign(document.createElement("img"), { alt: `camera ${name}` });
    caption.textContent = name;
    figure.append(images[i], caption);
    return figure;
  }));
  $("known").replaceChildren(...about.instructions.map(
    (text) => Object.assign(document.createElement("option"), { value: text })));
  plot.channels(about.channels);
  driver.channels(about.channels);
  const teleop = about.driver === "teleop_node";
  $("policy").querySelector("legend").textContent = teleop ? "Arm" : "Policy";
  $("takeover-title").textContent = teleop ? "Move the arm" : "Take over";
  $("enable").textContent = "Enable";
}

function showPicture(bytes) {
  shown += 1;
  const index = bytes[0], url = URL.createObjectURL(new Blob([bytes.subarray(1)], { type: "image/jpeg" }));
  const old = urls[index];
  urls[index] = url;
  if (!images[index]) return URL.revokeObjectURL(url);
  images[index].onload = () => old && URL.revokeObjectURL(old);
  images[index].src = url;
}

function pill(text, level) {
  $("state").textContent = text;
  $("state").className = `pill level${level}`;
}

function showState(value) {
  state = value;
  const status = state.driver, values = status?.values ?? {};
  if (status) pill(values.state || LEVELS[status.level] || "running", status.level);
  else pill("nobody", 2);
  $("reason").textContent = status ? status.message
    : `${about.driver} is not heard: is it running, in this ROS domain and namespace?`;
  $("commander").textContent = !status ? "" : state.commander ? `${state.commander} commands` : "nobody commands";
  $("others").replaceChildren(...state.others.map(({ name, message }) =>
    Object.assign(document.createElement("li"), { textContent: `${name}: ${message}` })));
  $("instruction").textContent = state.instruction;
  about.cameras.forEach((name, i) => {
    const error = state.camera_errors[name], age = state.camera_ages[name];
    const old = age === undefined || age > OLD_S;
    images[i].classList.toggle("old", old);
    images[i].nextSibling.textContent = error ? `${name}: ${error}` : age === undefined ? `${name}: nothing yet`
      : old ? `${name}: nothing for ${age.toFixed(0)} s` : name;
  });
  showRole(values);
  showSession();
  showNumbers(values);
  plot.add(state);
}

function showRole(values) {
  const mine = state.drives === "you", canMove = state.listens;
  $("drives").textContent = { you: "You drive", nobody: "Nobody drives" }[state.drives] ?? "Another page drives";
  $("take").hidden = mine;
  $("take").disabled = state.drives !== "nobody";
  $("leave").hidden = !mine;
  $("leave").disabled = $("stop").disabled = false;
  for (const part of document.querySelectorAll("[data-driver] button, [data-driver] input"))
    part.disabled = !mine;
  if (!canMove) for (const part of $("takeover").querySelectorAll("button, input")) part.disabled = true;
  $("takeover-why").textContent = canMove ? values["person stuck"] ?? values.stuck ?? ""
    : about.driver === "teleop_node" ? "teleop_node does not listen to this page; start it with input:=panel."
      : "policy_node does not listen to this page; start it with takeover:=panel.";
  $("deadman-now").textContent = mine && state.lost ? "The arm was lost: let go, then hold anew" : "Hold here to move the arm";
  const mode = values["person mode"] ?? values.mode ?? "", modes = values["person modes"] ?? values.modes ?? "";
  $("mode-now").textContent = mode ? `moves ${mode.replace("_", " ")}` : "";
  $("mode").disabled ||= modes.split(" ").length < 2;
  driver.mode(mode);
  driver.drives(mine && canMove);
}

function showSession() {
  const { session, recorder } = state;
  const recording = session.state === "recording";
  $("start").disabled ||= recording;
  for (const id of ["success", "failure", "discard"]) $(id).disabled ||= !recording;
  $("start").classList.toggle("on", recording);
  $("session").textContent = !recorder ? "No recorder is running: start with record:=true."
    : `${recorder.message} · ${session.kept} kept, ${session.successes} successes, ${session.discarded} discarded`
      + (recorder.values.recording_s ? ` · ${recorder.values.recording_s} s` : "");
}

function showNumbers(values) {
  const rows = [];
  for (const [key, value] of Object.entries(values))
    if (key.endsWith("_ms_p50")) rows.push([key.replace("_ms_p50", " latency"),
      `${Number(value).toFixed(0)} ms, p99 ${Number(values[key.replace("p50", "p99")]).toFixed(0)} ms`]);
  for (const [key, value] of Object.entries(values))
    if (key.startsWith("monitor")) rows.push([key, value]);
  for (const key of ["takeovers", "plans"]) if (key in values) rows.push([key, values[key]]);
  const free = state.recorder?.values.disk_free_mb;
  if (free) rows.push(["disk left", `${(free / 1000).toFixed(1)} GB`]);
  rows.push(["pages open", state.pages]);
  $("numbers").replaceChildren(...rows.flatMap(([name, value]) => [
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: value })]));
}

for (const id of ["take", "leave", "stop", "enable", "hold", "reset", "mode"])
  $(id).onclick = () => ask({ do: id });
for (const what of ["start", "success", "failure", "discard"])
  $(what).onclick = () => ask({ do: "label", what });
$("instruct").onsubmit = (event) => {
  event.preventDefault();
  if ($("words").value) ask({ do: "instruct", text: $("words").value });
};
document.addEventListener("visibilitychange", () => {
  if (document.hidden) driver.lose();
  send({ do: document.hidden ? "hide" : "show" });
});
addEventListener("pagehide", () => driver.lose());
addEventListener("blur", () => driver.lose());
connect();
