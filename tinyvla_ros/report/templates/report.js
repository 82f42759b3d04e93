// SPDX-License-Identifier: Apache-2.0
// Plots (by uPlot), videos and the cursor they share. The rest of the page works without it.
"use strict";

const root = document.documentElement;
window.addEventListener("error", (event) => {
  const box = document.createElement("p");
  box.className = "failed-script";
  box.textContent = `The plots of this page do not work in this browser: ${event.message}`;
  document.body.prepend(box);
});

const STATES = { running: "good", holding: "warn", waiting: "muted", disabled: "muted",
  inactive: "muted", stopped: "bad" };
const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const shown = (value) => value === null || value === undefined ? "-"
  : (Math.abs(value) < 5e-4 ? 0 : value).toFixed(Math.abs(value) >= 100 ? 0
    : Math.abs(value) >= 10 ? 1 : 3);

// The row of a chunk that applies at a time, undefined if there is none.
const rowAt = (chunk, t) => chunk.rows[Math.floor((t - chunk.begin) / chunk.dt + 1e-6)];

// Lanes: label, table ([seconds, values]), and optionally unit, height, range, format, paths and
// draw(g, x, y, top, bottom), which draws on top of the plot in pixels of the canvas.

function policyLane(episode) {
  const names = episode.states.map((s) => s[1]);
  return { label: "policy", unit: "▼ intervention, ■ hold", height: 46, range: [0, names.length],
    table: [episode.states.map((s) => s[0]), names.map((_, i) => i)],
    format: (i) => names[i] ?? "-", paths: () => null, ticks: () => [],
    draw(g, x, y, top, bottom, px) {
      const band = top + 14 * px;
      episode.states.forEach(([t, state], i) => {
        const left = x(t), right = x(episode.states[i + 1]?.[0] ?? episode.duration);
        g.globalAlpha = 0.35;
        g.fillStyle = color(STATES[state] || "muted");
        g.fillRect(left, band, Math.max(1, right - left), bottom - band);
        g.globalAlpha = 1;
        g.fillStyle = color("ink");
        if (g.measureText(state).width < right - left) g.fillText(state, left + 3, bottom - 5 * px);
      });
      g.textAlign = "center";
      for (const { t, kind } of episode.events) {
        g.fillStyle = color(kind === "hold" ? "warn" : "bad");
        if (kind === "hold" || kind === "intervention") {
          g.fillText(kind === "hold" ? "■" : "▼", x(t), band - 3 * px);
        }
      }
    } };
}

function actionLane(episode, channel) {
  const { name, unit, range } = episode.channels[channel], chunks = episode.chunks;
  const seconds = [], values = [];
  const push = (t, value) => { seconds.push(t); values.push(value); };
  chunks.forEach((c, i) => {
    const before = values.length;
    for (let r = 0; r < c.rows.length && c.begin + r * c.dt < c.end - 1e-9; r++) {
      push(Math.max(c.t, c.begin + r * c.dt), c.rows[r][channel]);
    }
    if (values.length > before && !(chunks[i + 1]?.t <= c.end + 1e-6)) { // nothing goes on
      push(c.end, values[values.length - 1]);
      push(c.end + 1e-6, null);
    }
  });
  return { label: name, unit, range, height: 66, table: [seconds, values], stepped: true,
    draw(g, x, y, top, bottom, px) {
      // Rows that were planned, then replaced.
      g.strokeStyle = color("data");
      g.globalAlpha = 0.4;
      g.setLineDash([1.5 * px, 2.5 * px]);
      g.beginPath();
      for (const c of chunks) {
        c.rows.forEach((row, r) => {
          const from = Math.max(c.end, c.begin + r * c.dt), to = c.begin + (r + 1) * c.dt;
          if (to > from && row[channel] !== null) {
            g.moveTo(x(from), y(row[channel]));
            g.lineTo(x(to), y(row[channel]));
          }
        });
      }
      g.stroke();
      g.setLineDash([]);
      g.globalAlpha = 1;
      // The jump from the row of the chunk before to that of the new one.
      g.strokeStyle = color("seam");
      g.lineWidth = 2 * px;
      g.beginPath();
      chunks.forEach((c, i) => {
        const old = c.seam !== null && i && rowAt(chunks[i - 1], c.t);
        if (!old || !c.rows.length) return;
        g.moveTo(x(c.t), y(old[channel]));
        g.lineTo(x(c.t), y(c.rows[0][channel]));
      });
      g.stroke();
    } };
}

const barLane = (label, unit, chunks, key, stroke, least) => ({ label, unit, stroke, height: 54,
  table: [chunks.map((c) => c.t), chunks.map((c) => c[key])],
  range: [0, Math.max(least, ...chunks.map((c) => c[key] || 0))],
  paths: uPlot.paths.bars({ size: [0.6, 4] }) });

function lanesOf(episode) {
  const { chunks, states, events, channels, joints } = episode, actions = [];
  const known = chunks.filter((c) => c.latency !== null);
  if (states.length || events.length) actions.push(policyLane(episode));
  actions.push(...channels.map((_, i) => actionLane(episode, i)));
  if (chunks.length) {
    actions.push(barLane("seam", "of a channel's range", chunks, "seam", "seam", 0.1));
  }
  if (known.length) actions.push(barLane("latency", "ms", known, "latency", "data", 1));
  return { actions, joints: joints.flatMap(({ t, names, v }) => names.map((label, i) =>
    ({ label, table: [t, v[i]], height: 66 }))) };
}

// Returns a plot below `place`; `last` has the labels of the seconds.
function plotLane(place, episode, lane, last, key, takeovers) {
  const axis = { font: "11px system-ui, sans-serif", stroke: () => color("muted"),
    ticks: { show: false }, grid: { stroke: () => color("line"), width: 1 } };
  const stroke = () => color(lane.stroke || "data");
  const paths = lane.stepped ? uPlot.paths.stepped({ align: 1 }) : lane.paths;
  function draw(u) {
    const g = u.ctx, px = uPlot.pxRatio, { left, top, width, height } = u.bbox;
    const x = (t) => u.valToPos(t, "x", true), y = (v) => u.valToPos(v, "y", true);
    g.save();
    g.beginPath();
    g.rect(left - 5 * px, top - px, width + 10 * px, height + 2 * px);
    g.clip();
    g.font = `${11 * px}px system-ui, sans-serif`;
    g.textAlign = "left";
    g.textBaseline = "alphabetic";
    g.strokeStyle = color("seam");
    g.globalAlpha = Math.min(0.7, width / px / Math.max(1, takeovers.length * 16));
    g.setLineDash([px, 3 * px]);
    g.beginPath();
    for (const t of takeovers) { g.moveTo(x(t), top); g.lineTo(x(t), top + height); }
    g.stroke();
    g.setLineDash([]);
    g.globalAlpha = 1;
    if (lane.draw) lane.draw(g, x, y, top, top + height, px);
    g.restore();
  }
  return new uPlot({
    width: place.clientWidth, height: lane.height + (last ? 22 : 0), padding: [7, 12, 4, 0],
    scales: { y: lane.range ? { range: pad(lane.range) } : {}, x: { time: false,
      range: (_, low, high) => [Math.max(0, low), Math.min(episode.duration || 1, high)] } },
    axes: [{ ...axis, show: last, size: 22, values: (_, ticks) => ticks.map((t) => `${t} s`) },
      { ...axis, size: 52, space: 22, ...(lane.ticks && { values: lane.ticks }) }],
    series: [{ label: "time" },
      { label: lane.unit ? `${lane.label} (${lane.unit})` : lane.label, stroke, paths,
        fill: lane.stroke || lane.paths ? stroke : undefined, width: 1.6,
        points: { show: false }, value: (_, v) => (lane.format || shown)(v) }],
    cursor: { y: false, points: { show: false }, sync: { key, scales: ["x", null] },
      // The value that applies at a time is the last one before it.
      dataIdx(u, series, i, t) {
        while (i >= 0 && (u.data[0][i] > t + 1e-9 || u.data[series][i] === undefined)) i--;
        return i < 0 ? null : i;
      } },
    hooks: { draw: [draw] },
  }, uPlot.join([lane.table, [[0, episode.duration]]]), place);
}

function pad([low, high]) {
  const margin = 0.04 * Math.max(high - low, 1e-3);
  return [low - margin, high + margin];
}

const plots = new Map(); // place -> its plots

// Episodes ---------------------------------------------------------------------------------------

function open(box) {
  if (box.dataset.begun) return;
  box.dataset.begun = "yes";
  const episode = JSON.parse(box.querySelector("script.data").textContent);
  const video = box.querySelector("video"), bytes = box.querySelector("script.video");
  const output = box.querySelector("output"), scrub = box.querySelector("input[type=range]");
  const frames = [...box.querySelectorAll(".film")].map((film) => [...film.children]);
  const places = [...box.querySelectorAll(".plot")];
  let cursor = 0;
  for (const place of places) {
    const lanes = lanesOf(episode)[place.dataset.plot], actions = place.dataset.plot === "actions";
    plots.set(place, lanes.map((lane, i) => plotLane(
      place, episode, lane, i === lanes.length - 1, box.id,
      actions && lane.label !== "policy" ? episode.chunks.map((c) => c.t) : [])));
    resized.observe(place);
  }

  function move(t) {
    cursor = Math.min(episode.duration, Math.max(0, t));
    box.dataset.cursor = cursor.toFixed(3);
    if (output) {
      output.textContent = `${cursor.toFixed(2)} s`;
      scrub.value = String(cursor);
      scrub.setAttribute("aria-valuetext", output.textContent);
    }
    for (const film of frames) {
      const past = film.filter((button) => Number(button.dataset.t) <= cursor + 1e-9).length;
      film.forEach((button, i) => button.classList.toggle("now", i === Math.max(0, past - 1)));
    }
    for (const place of places) {
      place.setAttribute("aria-valuenow", cursor.toFixed(2));
      place.setAttribute("aria-valuetext", `${cursor.toFixed(2)} seconds`);
      for (const u of plots.get(place)) u.setCursor({ left: u.valToPos(cursor, "x"), top: 0 });
    }
  }
  function seek(t) {
    move(t);
    if (video) video.currentTime = Math.min(cursor, (video.duration || Infinity) - 1e-3);
  }
  const toggle = () => { if (video.paused) video.play(); else video.pause(); };
  box.addEventListener("redraw", () => move(cursor));
  scrub?.addEventListener("input", () => seek(Number(scrub.value)));
  for (const button of box.querySelectorAll("button[data-t]")) {
    button.addEventListener("click", () => seek(Number(button.dataset.t)));
  }
  for (const place of places) {
    for (const u of plots.get(place)) {
      u.over.addEventListener("click", () => seek(u.posToVal(u.cursor.left, "x")));
      u.over.addEventListener("mouseleave", () => move(cursor));
    }
    place.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 1 : 1 / (episode.fps || 20);
      const to = { ArrowLeft: cursor - step, ArrowRight: cursor + step, Home: 0,
        End: episode.duration }[event.key];
      if (to !== undefined) seek(to);
      else if (event.key === " " && video) toggle();
      else return;
      event.preventDefault();
    });
  }
  if (video) {
    const raw = Uint8Array.from(atob(bytes.textContent.trim()), (c) => c.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([raw], { type: "video/mp4" }));
    bytes.remove();
    const play = box.querySelector("button.play");
    const follow = () => {
      play.textContent = video.paused ? "Play" : "Pause";
      if (!video.paused) { move(video.currentTime); requestAnimationFrame(follow); }
    };
    for (const change of ["play", "pause", "ended"]) video.addEventListener(change, follow);
    video.addEventListener("seeked", () => {
      // Our own seeks come back rounded to a frame; those of full screen do not.
      if (Math.abs(video.currentTime - cursor) > 0.1) move(video.currentTime);
    });
    video.addEventListener("error", () => {
      // Some builds of Firefox leave H.264 to the system, which may not have it.
      const note = document.createElement("p");
      note.textContent = "This browser cannot decode the video (H.264); images and plots work.";
      video.replaceWith(note);
      play.disabled = true;
    });
    for (const element of [play, video]) element.addEventListener("click", toggle);
    box.querySelector("select").addEventListener("change", (event) => {
      video.playbackRate = Number(event.target.value);
    });
    box.querySelector("button.full").addEventListener("click", () => {
      if (video.requestFullscreen) video.requestFullscreen(); else video.webkitEnterFullscreen();
    });
    video.addEventListener("fullscreenchange", () => {
      video.controls = document.fullscreenElement === video;
    });
  }
  move(0);
}

const resized = new ResizeObserver((changes) => {
  for (const { target } of changes.filter((change) => change.target.clientWidth)) {
    for (const u of plots.get(target)) u.setSize({ width: target.clientWidth, height: u.height });
    target.closest("details").dispatchEvent(new Event("redraw"));
  }
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const u of [...plots.values()].flat()) u.redraw(false);
});

function goTo() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView();
}

const boxes = document.querySelectorAll("details.episode");
for (const box of boxes) {
  box.addEventListener("toggle", () => { if (box.open) open(box); });
  if (box.open) open(box);
}
window.addEventListener("hashchange", goTo);
goTo();
root.dataset.ready = String(boxes.length);
