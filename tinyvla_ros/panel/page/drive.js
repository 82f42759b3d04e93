// Copyright 2026 tinyvla_ros contributors. SPDX-License-Identifier: Apache-2.0
// The dead man, the jog buttons and a gamepad, as the axes of tinyvla_ros/panel/joy_layout.py.
const JOINTS = 16, GRIPPER = 22, AXES = 23, PERIOD_MS = 20;
const DIRECTIONS = ["x", "y", "z", "roll", "pitch", "yaw"];
// Of the Gamepad API's standard layout.
const PAD = { a: 0, b: 1, right_shoulder: 5, left_trigger: 6, right_trigger: 7, start: 9,
              left_stick: 10, right_stick: 11 };
const DEAD_ZONE = 0.12;

export class Driver {
  #send; #ask; #heard; #parts; #active = false; #touched = new Set(); #space = false; #jog = new Map();
  #names = []; #gripper = -1; #mode = null; #started = false; #padHeld = false;

  // heard: returns when the server sent the newest state, by its own clock.
  constructor(send, ask, heard, parts) {
    this.#heard = heard;
    this.#send = send;
    this.#ask = ask;
    this.#parts = parts;
    const { deadman } = parts;
    deadman.addEventListener("pointerdown", (e) => { hold(deadman, e); this.#touched.add(e.pointerId); this.#frame(); });
    deadman.addEventListener("pointerup", (e) => { if (this.#touched.delete(e.pointerId)) this.#frame(); });
    // The system took the finger away, for a call or a gesture of its own: nobody let go.
    for (const kind of ["pointercancel", "lostpointercapture"])
      deadman.addEventListener(kind, (e) => { if (this.#touched.has(e.pointerId)) this.lose(); });
    deadman.addEventListener("contextmenu", (e) => e.preventDefault());
    addEventListener("keydown", (e) => {
      if (e.code !== "Space" || isText(e.target) || !this.#active) return;
      e.preventDefault();
      if (!e.repeat) { this.#space = true; this.#frame(); }
    });
    addEventListener("keyup", (e) => {
      if (e.code !== "Space") return;
      if (this.#active && !isText(e.target)) e.preventDefault();
      if (this.#space) { this.#space = false; this.#frame(); }
    });
    addEventListener("gamepaddisconnected", () => { if (this.#padHeld) this.lose(); });
    setInterval(() => this.#frame(), PERIOD_MS);
  }

  channels(channels) {
    const names = channels.map((c) => c.name);
    if (JSON.stringify(names) === JSON.stringify(this.#names)) return;  // a button may be held
    this.#names = names;
    this.#gripper = names.findIndex((n) => n.includes("gripper"));
    this.#mode = null;
  }

  // Shows the jog buttons of "joints" or "end_effector".
  mode(mode) {
    if (mode === this.#mode) return;
    this.#mode = mode;
    this.#jog.clear();
    const joints = this.#names.filter((_, i) => i !== this.#gripper);
    const rows = (mode === "end_effector" ? DIRECTIONS.map((name, i) => [name, JOINTS + i])
      : joints.slice(0, JOINTS).map((name, i) => [name, i]));
    if (this.#gripper >= 0) rows.push([this.#names[this.#gripper], GRIPPER]);
    this.#parts.jogs.replaceChildren(...rows.map(([name, axis]) => {
      const row = document.createElement("div"), label = document.createElement("span");
      label.textContent = name;
      row.append(this.#button("−", `${name} minus`, axis, -1), label, this.#button("+", `${name} plus`, axis, 1));
      return row;
    }));
  }

  // Whether this page drives, and the node listens to it.
  drives(active) {
    if (active === this.#active) return;
    this.lose();
    this.#active = active;
    this.#release();
  }

  // Nobody looks at the page: what is held is released, and the arm holds.
  lose() {
    const held = this.#held();
    this.#release();
    if (this.#active && held) this.#send({ do: "lost" });
  }

  #release() {
    this.#touched.clear();
    this.#space = false;
    this.#jog.clear();
    this.#parts.deadman.classList.remove("on");
  }

  #held() { return this.#touched.size > 0 || this.#space || this.#padHeld; }

  #button(text, label, axis, sign) {
    const button = Object.assign(document.createElement("button"), { textContent: text, type: "button" });
    button.setAttribute("aria-label", label);
    button.dataset.axis = axis;
    button.dataset.sign = sign;
    button.onpointerdown = (e) => { hold(button, e); this.#jog.set(e.pointerId, [axis, sign]); this.#frame(); };
    button.onpointerup = button.onpointercancel = button.onlostpointercapture =
      (e) => { if (this.#jog.delete(e.pointerId)) this.#frame(); };
    button.oncontextmenu = (e) => e.preventDefault();
    return button;
  }

  #frame() {
    if (!this.#active) return;
    const speed = Number(this.#parts.speed.value), axes = new Array(AXES).fill(0);
    for (const [axis, sign] of this.#jog.values()) axes[axis] += sign * speed;
    this.#pad(axes, speed);
    const held = this.#held();
    this.#parts.deadman.classList.toggle("on", held);
    this.#send({ do: "drive", held, heard: this.#heard(), axes: axes.map((v) => Math.max(-1, Math.min(1, v))) });
  }

  // Adds the first gamepad of the standard layout, as config/teleop/game_controller.yaml has it.
  #pad(axes, speed) {
    const pad = navigator.getGamepads?.().find((p) => p?.mapping === "standard");
    this.#padHeld = Boolean(pad?.buttons[PAD.right_shoulder]?.pressed);
    if (!pad) return;
    const stick = (i) => Math.abs(pad.axes[i] ?? 0) > DEAD_ZONE ? -pad.axes[i] * speed : 0;
    const pressed = (i) => (pad.buttons[i]?.value ?? 0) * speed;
    const [left, up, turn, lift] = [stick(0), stick(1), stick(2), stick(3)];
    const tilt = pressed(PAD.right_trigger) - pressed(PAD.left_trigger);
    const roll = pressed(PAD.right_stick) - pressed(PAD.left_stick);
    [left, up, lift, tilt, turn, roll].forEach((v, i) => { axes[i] += v; });
    [up, left, lift, roll, tilt, turn].forEach((v, i) => { axes[JOINTS + i] += v; });
    axes[GRIPPER] += pressed(PAD.a) - pressed(PAD.b);
    const start = Boolean(pad.buttons[PAD.start]?.pressed);
    if (start && !this.#started) this.#ask({ do: "mode" });
    this.#started = start;
  }
}

function isText(element) { return element instanceof HTMLInputElement && element.type !== "range"; }

function hold(element, event) {
  event.preventDefault();
  element.setPointerCapture(event.pointerId);
}
