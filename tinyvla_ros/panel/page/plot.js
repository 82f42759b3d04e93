// Copyright 2026 tinyvla_ros contributors. SPDX-License-Identifier: Apache-2.0
// A lane for every channel: what was measured, and the chunk ahead of the arm.
const PAST_S = 4, AHEAD_S = 2, LANE = 44, LEFT = 8;

export class Plot {
  #canvas; #channels = []; #samples = []; #plan = null;

  constructor(canvas) { this.#canvas = canvas; }

  channels(channels) { this.#channels = channels; this.#samples = []; }

  add({ now, joints, plan }) {
    const last = this.#samples.at(-1);
    if (last && now < last.now) this.#samples = [];  // the clock was set back
    if (!last || now !== last.now) this.#samples.push({ now, joints });  // joints of now, not older ones
    while (this.#samples.length && this.#samples[0].now < now - PAST_S) this.#samples.shift();
    this.#plan = plan && plan.stamp > now - 10 ? plan : null;
    requestAnimationFrame(() => this.#draw(now));
  }

  #draw(now) {
    const canvas = this.#canvas, scale = devicePixelRatio || 1, width = canvas.clientWidth;
    const height = Math.max(1, this.#channels.length) * LANE + 4;
    canvas.style.height = `${height}px`;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const color = (name) => resolve(canvas, style.getPropertyValue(name));
    context.scale(scale, scale);
    context.font = "12px system-ui, sans-serif";
    const x = (time) => LEFT + (width - 2 * LEFT) * (time - now + PAST_S) / (PAST_S + AHEAD_S);
    this.#channels.forEach(({ name, state, low, high }, i) => {
      const top = i * LANE + 4, y = (v) => top + (LANE - 10) * (1 - (v - low) / (high - low || 1));
      context.strokeStyle = color("--line");
      line(context, [[LEFT, top + LANE - 6], [width - LEFT, top + LANE - 6]]);
      context.strokeStyle = color("--measured");
      context.lineWidth = 2;
      line(context, this.#samples.filter((s) => state in s.joints).map((s) => [x(s.now), y(s.joints[state])]));
      const column = this.#plan?.names.indexOf(name) ?? -1;
      context.strokeStyle = color("--planned");
      if (column >= 0) line(context, this.#plan.rows.map(
        (row, r) => [x(this.#plan.stamp + (r + 1) * this.#plan.dt), y(row[column])]).filter(([px]) => px <= width - LEFT));
      context.lineWidth = 1;
      context.fillStyle = color("--text");
      const value = this.#samples.at(-1)?.joints[state];
      context.fillText(value === undefined ? name : `${name}  ${value.toFixed(3)}`, LEFT, top + 12);
    });
    context.strokeStyle = color("--quiet");
    line(context, [[x(now), 0], [x(now), height]]);
  }
}

function line(context, points) {
  context.beginPath();
  points.forEach(([x, y], i) => i ? context.lineTo(x, y) : context.moveTo(x, y));
  context.stroke();
}

// A canvas does not know light-dark() of custom properties in every browser.
function resolve(element, value) {
  element.style.color = value;
  return getComputedStyle(element).color;
}
