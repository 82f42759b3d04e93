// SPDX-License-Identifier: Apache-2.0
// The plots, videos and the cursor they share. Everything else of the page works without it.
"use strict";

const root = document.documentElement;
let errors = 0;
window.addEventListener("error", (event) => {
  root.dataset.errors = String(++errors);
  const box = document.createElement("p");
  box.className = "failed-script";
  box.textContent = `The plots of this page do not work in this browser: ${event.message}`;
  document.body.prepend(box);
});

const FONT = 12, LABEL = 17, LANE = 46, AXIS = 20, GAP = 7;
const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const shown = (value) => value === null || value === undefined ? "–"
  : (Math.abs(value) < 5e-4 ? 0 : value).toFixed(Math.abs(value) >= 100 ? 0
    : Math.abs(value) >= 10 ? 1 : 3);
const short = (value) => String(Number(shown(value)));

// A canvas with as many pixels as the screen has; y grows downwards.
function begin(canvas, height) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  g.font = `${FONT}px system-ui, sans-serif`;
  g.lineJoin = "round";
  return [g, width];
}

function clipped(g, text, width) {
  if (g.measureText(text).width <= width) return text;
  while (text.length > 1 && g.measureText(`${text}…`).width > width) text = text.slice(0, -1);
  return `${text}…`;
}

// The largest i with times[i] <= t, or -1.
function before(times, t) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= t + 1e-9) low = middle + 1; else high = middle;
  }
  return low - 1;
}

function span(values, fallback) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (v !== null) { low = Math.min(low, v); high = Math.max(high, v); }
  if (fallback) { low = Math.min(low, fallback[0]); high = Math.max(high, fallback[1]); }
  if (!(low <= high)) return [0, 1];
  const least = Math.max(1e-3, 1e-3 * Math.abs(high));
  if (high - low < least) { low -= least / 2; high += least / 2; }
  return [low, high];
}

function ticks(end, room) {
  const rough = end / Math.max(1, room), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const list = [];
  for (let i = 0; i * step <= end * 1.0001; i++) list.push(i * step);
  return [list, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))];
}

// Lanes ------------------------------------------------------------------------------------------
// A lane: label, height, value(t) as text, draw(g, x, y(v), top, bottom, width).

const STATES = { running: "good", holding: "warn", waiting: "muted", disabled: "muted",
  inactive: "muted", stopped: "bad" };

function policyLane(episode) {
  const at = (t) => episode.states[before(episode.states.map((s) => s[0]), t)];
  return { label: "policy", unit: "state, ▼ intervention, ■ hold", height: 30, range: [0, 1],
    value: (t) => (at(t) || [0, ""])[1],
    draw(g, x, y, top, bottom) {
      episode.states.forEach(([t, state], i) => {
        const next = episode.states[i + 1], left = x(t);
        const right = x(next ? next[0] : episode.duration);
        g.globalAlpha = 0.35;
        g.fillStyle = color(STATES[state] || "muted");
        g.fillRect(left, top + 12, Math.max(1, right - left), bottom - top - 12);
        g.globalAlpha = 1;
        if (g.measureText(state).width + 6 < right - left) {
          g.fillStyle = color("ink");
          g.fillText(state, left + 3, bottom - 5);
        }
      });
      for (const e of episode.events) {
        const at = x(e.t);
        if (e.kind === "intervention") {
          g.fillStyle = color("bad");
          g.beginPath();
          g.moveTo(at - 5, top); g.lineTo(at + 5, top); g.lineTo(at, top + 10);
          g.fill();
        } else if (e.kind === "hold") {
          g.fillStyle = color("warn");
          g.fillRect(at - 4, top + 1, 8, 8);
        }
      }
    } };
}

function actionLane(episode, channel) {
  const chunks = episode.chunks, starts = chunks.map((c) => c.t);
  const name = episode.channels[channel];
  const all = [];
  for (const c of chunks) for (const row of c.rows) all.push(row[channel]);
  function value(t) {
    const c = chunks[before(starts, t)];
    const row = c && t <= c.end ? c.rows[Math.floor((t - c.begin) / c.dt + 1e-6)] : undefined;
    return row ? row[channel] : null;
  }
  const steps = (g, x, y, c, from, to) => {
    let pen = false;
    for (let i = 0; i < c.rows.length; i++) {
      const a = Math.max(from, c.begin + i * c.dt), b = Math.min(to, c.begin + (i + 1) * c.dt);
      if (b <= a || c.rows[i][channel] === null) continue;
      const v = y(c.rows[i][channel]);
      if (pen) g.lineTo(x(a), v); else g.moveTo(x(a), v);
      g.lineTo(x(b), v);
      pen = true;
    }
  };
  return { label: name, unit: episode.unitNames[channel], height: LANE,
    range: span(all, episode.limits[channel]), value: (t) => shown(value(t)),
    draw(g, x, y) {
      g.strokeStyle = color("tail");
      g.globalAlpha = 0.35;
      g.setLineDash([1.5, 2.5]);
      g.beginPath();
      for (const c of chunks) steps(g, x, y, c, c.end, Infinity);
      g.stroke();
      g.setLineDash([]);
      g.globalAlpha = 1;
      g.strokeStyle = color("data");
      g.lineWidth = 1.6;
      g.beginPath();
      for (const c of chunks) steps(g, x, y, c, c.begin, c.end);
      g.stroke();
      // The jump: from what the chunk before said for this time to what this one says.
      g.strokeStyle = color("seam");
      g.lineWidth = 2;
      g.beginPath();
      chunks.forEach((c, i) => {
        const old = chunks[i - 1];
        if (c.seam === null || !old || !c.rows.length) return;
        const said = old.rows[Math.floor((c.begin - old.begin) / old.dt + 1e-6)];
        if (!said) return;
        g.moveTo(x(c.begin), y(said[channel]));
        g.lineTo(x(c.begin), y(c.rows[0][channel]));
      });
      g.stroke();
      g.lineWidth = 1;
    } };
}

function barLane(label, unit, points, name, fallback) {
  const times = points.map((p) => p[0]);
  const high = Math.max(fallback, ...points.map((p) => p[1] || 0));
  return { label, unit, height: 36, range: [0, high],
    value: (t) => { const p = points[before(times, t)]; return p ? shown(p[1]) : "–"; },
    draw(g, x, y) {
      g.fillStyle = color(name);
      for (const [t, v] of points) if (v !== null) g.fillRect(x(t) - 1, y(v), 2.5, y(0) - y(v));
    } };
}

function jointLane(group, index) {
  const values = group.v[index];
  return { label: group.names[index], unit: "", height: 38, range: span(values),
    value: (t) => { const i = before(group.t, t); return shown(i < 0 ? null : values[i]); },
    draw(g, x, y) {
      g.strokeStyle = color("data");
      g.lineWidth = 1.6;
      g.beginPath();
      let pen = false;
      values.forEach((v, i) => {
        if (v === null) { pen = false; return; }
        if (pen) g.lineTo(x(group.t[i]), y(v)); else g.moveTo(x(group.t[i]), y(v));
        pen = true;
      });
      g.stroke();
      g.lineWidth = 1;
    } };
}

function drawLanes(canvas, lanes, episode, cursor) {
  const height = lanes.reduce((sum, l) => sum + l.height + LABEL + GAP, 0) + AXIS;
  const [g, width] = begin(canvas, height);
  const edge = 8, end = episode.duration || 1, x = (t) => edge + t / end * (width - 2 * edge);
  const [marks, digits] = ticks(end, width / 75);
  g.fillStyle = color("muted");
  g.textAlign = "center";
  for (const t of marks) {
    const text = `${t.toFixed(digits)} s`, half = g.measureText(text).width / 2;
    g.fillText(text, Math.min(width - half, Math.max(half, x(t))), height - 5);
  }
  // Lines across all lanes stop at the labels, which would be hard to read behind them.
  const tops = [];
  lanes.reduce((top, lane) => {
    tops.push(top + LABEL);
    return top + LABEL + lane.height + GAP;
  }, 0);
  function across(times, skipped) {
    g.beginPath();
    lanes.forEach((lane, i) => {
      if (lane.label === skipped) return;
      for (const t of times) { g.moveTo(x(t), tops[i]); g.lineTo(x(t), tops[i] + lane.height); }
    });
    g.stroke();
  }
  lanes.forEach((lane, i) => {
    g.fillStyle = color("soft");
    g.globalAlpha = 0.45;
    g.fillRect(edge, tops[i], width - 2 * edge, lane.height);
  });
  g.globalAlpha = 0.7;
  g.strokeStyle = color("line");
  across(marks);
  if (canvas.dataset.plot === "actions") {
    g.globalAlpha = Math.min(0.8, width / Math.max(1, episode.chunks.length * 8));
    g.strokeStyle = color("seam");
    g.setLineDash([1, 3]);
    across(episode.chunks.map((c) => c.t), "policy");
    g.setLineDash([]);
  }
  g.globalAlpha = 1;
  lanes.forEach((lane, i) => {
    const top = tops[i], bottom = top + lane.height, [low, high] = lane.range;
    const y = (v) => bottom - 2 - (v - low) / (high - low) * (lane.height - 4);
    g.textAlign = "right";
    g.fillStyle = color("ink");
    const value = String(lane.value(cursor));
    g.fillText(value, width - edge, top - 5);
    const room = width - 2 * edge - g.measureText(value).width - 12;
    g.textAlign = "left";
    g.font = `600 ${FONT}px system-ui, sans-serif`;
    const label = clipped(g, lane.label, room);
    g.fillText(label, edge, top - 5);
    const used = g.measureText(label).width + 8;
    g.font = `${FONT}px system-ui, sans-serif`;
    g.fillStyle = color("muted");
    const range = lane.label === "policy" ? lane.unit
      : `${short(low)} … ${short(high)}${lane.unit ? ` ${lane.unit}` : ""}`;
    if (room - used > 30) g.fillText(clipped(g, range, room - used), edge + used, top - 5);
    g.save();
    g.beginPath();
    const margin = lane.label === "policy" ? 5 : 1; // its marks are wider than a line
    g.rect(edge - margin, top - 1, width - 2 * (edge - margin), lane.height + 2);
    g.clip();
    lane.draw(g, x, y, top, bottom);
    g.restore();
  });
  g.strokeStyle = color("cursor");
  g.lineWidth = 1.5;
  across([cursor]);
  g.lineWidth = 1;
}

// Histogram --------------------------------------------------------------------------------------

function drawHistogram(canvas) {
  const values = JSON.parse(canvas.dataset.values).sort((a, b) => a - b);
  const percentiles = [["p50", Number(canvas.dataset.p50)], ["p99", Number(canvas.dataset.p99)]];
  const [g, width] = begin(canvas, 150), bottom = 150 - AXIS - 2, edge = 8;
  const p95 = values[Math.floor(0.95 * (values.length - 1))];
  // A few slow ones, the first above all, must not flatten the others: they go into the last bar.
  const most = Math.min(values[values.length - 1], 2 * p95) * 1.02 || 1;
  const bars = Math.max(8, Math.min(40, Math.floor(width / 18)));
  const counts = new Array(bars).fill(0);
  for (const v of values) counts[Math.min(bars - 1, Math.floor(v / most * bars))]++;
  const high = Math.max(...counts), x = (v) => edge + v / most * (width - 2 * edge);
  g.fillStyle = color("data");
  counts.forEach((n, i) => {
    const h = n / high * (bottom - 22);
    if (n) g.fillRect(x(i * most / bars) + 1, bottom - Math.max(h, 2), x(most / bars) - edge - 2,
      Math.max(h, 2));
  });
  g.strokeStyle = color("line");
  g.beginPath(); g.moveTo(edge, bottom + 0.5); g.lineTo(width - edge, bottom + 0.5); g.stroke();
  g.fillStyle = color("muted");
  g.textAlign = "center";
  const [marks, digits] = ticks(most, width / 90);
  for (const v of marks) if (x(v) < width - 40) {
    g.fillText(v.toFixed(digits), Math.max(14, x(v)), 150 - 5);
  }
  g.textAlign = "right";
  const beyond = values.some((v) => v > most);
  g.fillText(beyond ? "and more, ms" : "ms", width - edge, 150 - 5);
  g.textAlign = "left";
  g.fillText(`${high} per bar`, edge, 12);
  g.setLineDash([4, 3]);
  percentiles.forEach(([name, v], row) => {
    const at = Math.min(width - edge, x(v));
    g.strokeStyle = color("seam");
    g.beginPath(); g.moveTo(at, 18); g.lineTo(at, bottom); g.stroke();
    g.fillStyle = color("ink");
    g.textAlign = at > width - 90 ? "right" : "left";
    g.fillText(`${name} ${v.toFixed(0)} ms`, at > width - 90 ? at : at + 3, 12 + 14 * row);
  });
  g.setLineDash([]);
}

// Episodes ---------------------------------------------------------------------------------------

function open(box) {
  if (box.dataset.begun) return;
  box.dataset.begun = "yes";
  const data = box.querySelector("script.data"), video = box.querySelector("video");
  const episode = data ? JSON.parse(data.textContent) : null;
  if (!episode) return;
  const bytes = box.querySelector("script.video");
  if (video && bytes) {
    const raw = Uint8Array.from(atob(bytes.textContent.trim()), (c) => c.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([raw], { type: "video/mp4" }));
    bytes.remove();
  }
  const frames = [...box.querySelectorAll(".film")].map((film) =>
    [...film.querySelectorAll("button")].map((b) => [Number(b.dataset.t), b]));
  const output = box.querySelector("output"), scrub = box.querySelector("input[type=range]");
  let cursor = 0, waiting = false;
  const plots = [];
  const lanes = [];
  if (episode.states.length || episode.events.length) lanes.push(policyLane(episode));
  episode.channels.forEach((_, i) => lanes.push(actionLane(episode, i)));
  if (episode.chunks.length) {
    lanes.push(barLane("seam", "of a channel's range", episode.chunks.map((c) => [c.t, c.seam]),
      "seam", 0.1));
    const known = episode.chunks.filter((c) => c.latency !== null);
    if (known.length) {
      lanes.push(barLane("latency", "ms", known.map((c) => [c.t, c.latency]), "data", 1));
    }
  }
  const joints = episode.joints.flatMap((group) => group.names.map((_, i) => jointLane(group, i)));
  for (const [name, list] of [["actions", lanes], ["joints", joints]]) {
    const canvas = box.querySelector(`canvas[data-plot=${name}]`);
    if (canvas && list.length) plots.push([canvas, list]);
  }

  function draw() {
    waiting = false;
    if (!box.open) return;
    for (const [canvas, list] of plots) drawLanes(canvas, list, episode, cursor);
  }
  function redraw() {
    if (!waiting) { waiting = true; requestAnimationFrame(draw); }
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
      const now = Math.max(0, before(film.map((f) => f[0]), cursor));
      film.forEach(([, button], i) => button.classList.toggle("now", i === now));
    }
    for (const [canvas] of plots) {
      canvas.setAttribute("aria-valuenow", cursor.toFixed(2));
      canvas.setAttribute("aria-valuetext", `${cursor.toFixed(2)} seconds`);
    }
    redraw();
  }
  function seek(t) {
    move(t);
    if (video) video.currentTime = Math.min(cursor, (video.duration || Infinity) - 1e-3);
  }
  const toggle = () => { if (video.paused) video.play(); else video.pause(); };
  if (scrub) scrub.addEventListener("input", () => seek(Number(scrub.value)));
  if (video) {
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
      note.textContent = "This browser cannot decode the video (H.264); pictures and plots work.";
      video.replaceWith(note);
      play.disabled = true;
    });
    play.addEventListener("click", toggle);
    video.addEventListener("click", toggle);
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
  for (const film of frames) for (const [t, b] of film) b.addEventListener("click", () => seek(t));
  for (const b of box.querySelectorAll("ol.events button")) {
    b.addEventListener("click", () => seek(Number(b.dataset.t)));
  }
  for (const [canvas] of plots) {
    const at = (event) => (event.offsetX - 8) / (canvas.clientWidth - 16) * episode.duration;
    canvas.addEventListener("pointerdown", (event) => {
      seek(at(event));
      if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons && event.pointerType === "mouse") seek(at(event));
    });
    canvas.addEventListener("keydown", (event) => {
      const frame = 1 / (episode.fps || 20), step = event.shiftKey ? 1 : frame;
      const to = { ArrowLeft: cursor - step, ArrowRight: cursor + step, Home: 0,
        End: episode.duration }[event.key];
      if (to !== undefined) { seek(to); event.preventDefault(); }
      if (event.key === " " && video) {
        toggle();
        event.preventDefault();
      }
    });
  }
  box.addEventListener("redraw", redraw);
  move(0);
}

function drawAll() {
  for (const canvas of document.querySelectorAll("canvas[data-values]")) {
    if (canvas.clientWidth) drawHistogram(canvas);
  }
  for (const box of document.querySelectorAll("details.episode[open]")) {
    box.dispatchEvent(new Event("redraw"));
  }
}

function goTo() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (!target) return;
  const box = target.closest("details.episode") || target;
  if (box.tagName === "DETAILS") box.open = true;
  target.scrollIntoView();
}

for (const box of document.querySelectorAll("details.episode")) {
  box.addEventListener("toggle", () => { if (box.open) { open(box); drawAll(); } });
  if (box.open) open(box);
}
window.addEventListener("hashchange", goTo);
window.addEventListener("resize", drawAll);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
goTo();
drawAll();
root.dataset.ready = String(document.querySelectorAll("details.episode").length);
