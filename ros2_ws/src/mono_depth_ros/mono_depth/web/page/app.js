// The page: takes an image, asks the server for its depth, shows and measures it.

import { ColorScale, asText, drawLegend, paint, readNpy } from "/page/depth_map.js";
import { drawCloud, drawHistogram, pointsOf } from "/page/charts.js";
import { dropJob, isForJob, resumeJob, startJob } from "/page/jobs.js";

const SIDE = 1024; // of the maps that are shown; downloads have all pixels
const Z = 1.645; // deviations to either side that hold 90 %
const MOST_TRIES = 5;
const $ = (id) => document.getElementById(id);

const state = {
  file: null, // what was uploaded last
  answer: null, // what the server said about it
  map: null, // depth that is shown
  sigma: null, // its relative deviation
  image: null, // upright, as the server saw it
  painted: null,
  scale: null,
  tables: {},
  models: [],
  clicks: [], // pixels of the image
  label: "", // of the line between two clicks
  known: null, // {from, to}, of the length that sets the metres
  run: 0, // counts requests, so that a late answer is not shown
};

// Talking to the server.

async function fetched(address, options) {
  const response = await fetch(address, options);
  if (response.ok) return response;
  let message = `${response.status} ${response.statusText}`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // the status has to do
  }
  const error = new Error(message);
  error.retryAfter = Number(response.headers.get("Retry-After"));
  throw error;
}

function formOf() {
  const form = new FormData($("levers"));
  form.delete("every"); // of jobs
  form.set("image", state.file, state.file.name || "image");
  form.set("refine", $("guided").checked ? "guided" : "none");
  const length = $("known-length").value;
  if (state.known && length) {
    form.set("known_length_m", length);
    form.set("known_from", state.known.from.join(","));
    form.set("known_to", state.known.to.join(","));
  }
  return form;
}

async function posted(run) {
  for (let tries = 1; ; tries++) {
    try {
      return await (await fetched("/v1/depth", { method: "POST", body: formOf() })).json();
    } catch (error) {
      if (!error.retryAfter || tries === MOST_TRIES || run !== state.run) throw error;
      say(`${error.message}; trying again …`);
      await new Promise((done) => setTimeout(done, 1000 * error.retryAfter));
    }
  }
}

async function find() {
  if (!state.file) return;
  const run = ++state.run;
  say("Finding depth …");
  try {
    const answer = await posted(run);
    const files = answer.files;
    const [map, sigma, image] = await Promise.all([
      fetched(`${files["shown.npy"]}?max_side=${SIDE}`).then((r) => r.arrayBuffer()),
      fetched(`${files["sigma_rel.npy"]}?max_side=${SIDE}`).then((r) => r.arrayBuffer()),
      fetched(files["image.jpg"]).then((r) => r.blob()).then(createImageBitmap),
    ]);
    if (run !== state.run) return;
    Object.assign(state, { answer, map: readNpy(map), sigma: readNpy(sigma), image });
    show();
  } catch (error) {
    if (run === state.run) say(error.message, true);
  }
}

function take(file) {
  if (!file) return;
  if (isForJob(file)) {
    startJob(file, new FormData($("levers")));
    return;
  }
  state.file = file;
  forgetClicks();
  forgetLength();
  find();
}

// Showing.

function say(text, isBad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", isBad);
}

const unit = () => (state.answer.is_metric ? "m" : "");

function show() {
  const { answer } = state;
  $("view").hidden = $("details").hidden = false;
  $("hover").textContent = "Point at the image: metres. Click two points: their distance.";
  const time = Math.round(answer.timing_ms.depth);
  say(`${answer.width} × ${answer.height} pixels, ${time} ms, model ${answer.model.name}`);
  $("warnings").replaceChildren(
    ...answer.warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })),
  );
  recolor();
  showStatistics();
  showDownloads();
  if (state.clicks.length === 2) measure();
  showCharts();
}

function recolor() {
  if (!state.map) return;
  state.scale = new ColorScale(state.map.values, $("equalise").checked);
  state.painted = paint(state.map, state.scale, state.tables[$("colormap").value]);
  draw();
}

function draw() {
  const { answer, image, painted } = state;
  if (!painted) return;
  const canvas = $("map");
  canvas.width = Math.min(answer.width, 2 * SIDE);
  canvas.height = Math.round((canvas.width * answer.height) / answer.width);
  canvas.style.aspectRatio = `${answer.width} / ${answer.height}`;
  canvas.style.maxWidth = `calc(80vh * ${answer.width / answer.height})`;
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const split = (width * $("slider").value) / 1000; // depth to its left, the image to its right
  context.imageSmoothingEnabled = true;
  context.drawImage(image, 0, 0, width, height);
  context.save();
  context.beginPath();
  context.rect(0, 0, split, height);
  context.clip();
  context.imageSmoothingEnabled = false; // no depth is shown that nobody found
  context.drawImage(painted, 0, 0, width, height);
  context.restore();
  if (split > 0 && split < width) {
    context.fillStyle = "#fff";
    context.fillRect(split - 1, 0, 2, height);
  }
  drawClicks(context, width / answer.width);
  const table = state.tables[$("colormap").value];
  drawLegend($("scale"), state.scale, table, unit(), canvas.clientHeight);
}

function drawClicks(context, share) {
  const at = state.clicks.map(([column, row]) => [(column + 0.5) * share, (row + 0.5) * share]);
  const pixel = context.canvas.width / Math.max(1, context.canvas.clientWidth);
  const stroke = (color, width) => {
    context.strokeStyle = color;
    context.lineWidth = width * pixel;
    context.beginPath();
    if (at.length === 2) {
      context.moveTo(...at[0]);
      context.lineTo(...at[1]);
    }
    for (const [x, y] of at) {
      context.moveTo(x + 6 * pixel, y);
      context.arc(x, y, 6 * pixel, 0, 2 * Math.PI);
    }
    context.stroke();
  };
  stroke("#000", 4);
  stroke("#fff", 2);
  if (at.length < 2 || !state.label) return;
  context.font = `600 ${15 * pixel}px system-ui, sans-serif`;
  const half = context.measureText(state.label).width / 2;
  const most = context.canvas.width;
  const x = Math.min(Math.max((at[0][0] + at[1][0]) / 2 - half, 4), most - 2 * half - 4);
  const y = Math.max((at[0][1] + at[1][1]) / 2 - 10 * pixel, 18 * pixel);
  context.lineWidth = 4 * pixel;
  context.strokeStyle = "#000";
  context.strokeText(state.label, x, y);
  context.fillStyle = "#fff";
  context.fillText(state.label, x, y);
}

function showStatistics() {
  const { statistics: s, scale, model, intrinsics, camera_source: source } = state.answer;
  const length = (value) => (value === null ? "–" : `${asText(value)} ${unit()}`.trim());
  const percent = (value) => `${(100 * value).toFixed(1)} %`;
  const fov = (2 * Math.atan((0.5 * intrinsics.width) / intrinsics.fx) * 180) / Math.PI;
  const deviation = scale.sigma_rel === null ? "not known" : `± ${(100 * scale.sigma_rel).toFixed(0)} %`;
  const rows = [
    ["least", length(s.min)],
    ["5 %", length(s.p5)],
    ["25 %", length(s.p25)],
    ["median", length(s.median)],
    ["mean", length(s.mean)],
    ["75 %", length(s.p75)],
    ["95 %", length(s.p95)],
    ["greatest", length(s.max)],
    ["unknown", percent(s.share_unknown)],
    ["beyond the range", percent(s.share_beyond)],
    ["scale by", `${scale.source} (${scale.state})`],
    ["its deviation", deviation],
    ["field of view", `${fov.toFixed(1)}° (${source})`],
    ["model", model.name],
    ["licence", model.licence],
    ["time", `${Math.round(state.answer.timing_ms.depth)} ms`],
  ];
  const body = document.createElement("tbody");
  for (const [name, value] of rows) {
    const row = body.insertRow();
    row.append(Object.assign(document.createElement("th"), { textContent: name }));
    row.insertCell().textContent = value;
  }
  $("statistics").replaceChildren(body);
}

const FILE_TEXTS = {
  "depth.png": "16 bit, millimetres; 0 = unknown, 65535 = beyond",
  "depth.json": "camera, scale, model, statistics; belongs to the PNG",
  "depth.npy": "NumPy, 32-bit metres",
  "depth.tiff": "32-bit metres",
  "depth.exr": "32-bit metres",
  "cloud.ply": "coloured points",
  "cloud.glb": "coloured points, glTF",
  "color.png": "as shown, with the legend",
};

function showDownloads() {
  const stem = (state.file.name || "image").replace(/\.[^.]*$/, "");
  const items = Object.entries(FILE_TEXTS)
    .filter(([name]) => name in state.answer.files)
    .map(([name, text]) => {
      const link = document.createElement("a");
      link.href = state.answer.files[name];
      link.download = `${stem}_${name}`;
      link.dataset.file = name;
      link.textContent = name;
      const note = Object.assign(document.createElement("small"), { textContent: text });
      const item = document.createElement("li");
      item.append(link, note);
      return item;
    });
  $("downloads").replaceChildren(...items);
  linkColors();
}

function linkColors() {
  const link = document.querySelector('a[data-file="color.png"]');
  if (!link) return;
  const look = new URLSearchParams({
    colormap: $("colormap").value,
    equalise: $("equalise").checked,
  });
  link.href = `${state.answer.files["color.png"]}?${look}`;
}

async function showCharts() {
  const { answer, map, image } = state;
  try {
    await drawHistogram($("histogram"), answer.statistics.histogram, unit());
    if (answer.is_metric) {
      const jump = Number(document.querySelector('[name="max_jump"]').value);
      await drawCloud($("cloud"), pointsOf(map, answer.intrinsics, image, jump));
    } else {
      $("cloud").textContent = "There are no metres, so there is no cloud.";
    }
  } catch (error) {
    say(error.message, true);
  }
}

// Pointing and measuring.

function pixelAt(event) {
  const box = $("map").getBoundingClientRect();
  const { width, height } = state.answer;
  const clamp = (value, most) => Math.min(Math.max(value, 0), most - 1);
  return [
    clamp(((event.clientX - box.left) / box.width) * width - 0.5, width),
    clamp(((event.clientY - box.top) / box.height) * height - 0.5, height),
  ].map((value) => Math.round(value * 10) / 10);
}

function valueAt(map, [column, row]) {
  const { width, height } = state.answer;
  const x = Math.min(map.width - 1, Math.floor(((column + 0.5) / width) * map.width));
  const y = Math.min(map.height - 1, Math.floor(((row + 0.5) / height) * map.height));
  return map.values[y * map.width + x];
}

function hover(event) {
  if (!state.map) return;
  const pixel = pixelAt(event);
  const depth = valueAt(state.map, pixel);
  const where = `column ${Math.round(pixel[0])}, row ${Math.round(pixel[1])}`;
  if (Number.isNaN(depth)) {
    $("hover").textContent = `${where}: depth unknown`;
  } else if (!Number.isFinite(depth)) {
    $("hover").textContent = `${where}: beyond ${state.answer.limits_m[1]} m`;
  } else if (!state.answer.is_metric) {
    $("hover").textContent = `${where}: ${asText(depth)}, no unit`;
  } else {
    const factor = Math.exp(Z * valueAt(state.sigma, pixel));
    const bounds = `${asText(depth / factor)} to ${asText(depth * factor)} m`;
    $("hover").textContent = `${where}: ${asText(depth)} m (90 %: ${bounds})`;
  }
}

function click(event) {
  if (!state.answer) return;
  if (state.clicks.length === 2) forgetClicks();
  state.clicks.push(pixelAt(event));
  hover(event);
  if (state.clicks.length === 2) measure();
  draw();
}

async function measure() {
  if (!state.answer.is_metric) {
    tell("There are no metres to measure with.");
    return;
  }
  const [from, to] = state.clicks;
  const asked = new URLSearchParams({ from: from.join(","), to: to.join(",") });
  try {
    const answer = await fetched(`/v1/results/${state.answer.id}/length?${asked}`);
    const { length, from_depth, to_depth } = await answer.json();
    const span = (l) => `${asText(l.value_m)} m (${asText(l.low_m)} to ${asText(l.high_m)})`;
    state.label = `${asText(length.value_m)} m`;
    tell(`Distance ${span(length)}; depths ${span(from_depth)} and ${span(to_depth)}; bounds hold 90 %.`);
    if (!state.known) {
      $("known-length").disabled = false;
      $("known-hint").textContent = "If you know how far the two points are apart, say so:";
    }
  } catch (error) {
    state.label = "";
    tell(error.message);
  }
  draw();
}

function tell(text) {
  $("measured").textContent = text;
  $("measured").hidden = !text;
}

function forgetClicks() {
  state.clicks = [];
  state.label = "";
  tell("");
  if (!state.known) $("known-length").disabled = true;
}

function useLength() {
  if (!state.known && state.clicks.length === 2) {
    state.known = { from: state.clicks[0], to: state.clicks[1] };
  }
  if (!$("known-length").value) {
    forgetLength();
  } else {
    $("forget-length").hidden = false;
    $("known-hint").textContent = "All metres follow this length.";
  }
  find();
}

function forgetLength() {
  state.known = null;
  $("known-length").value = "";
  $("known-length").disabled = state.clicks.length < 2;
  $("forget-length").hidden = true;
  $("known-hint").textContent =
    "Measure two points in the image, then say how far they are apart: all metres follow.";
}

// The webcam.

let stream = null;

async function openCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
  } catch (error) {
    say(`No webcam: ${error.message}`, true);
    return;
  }
  $("camera").hidden = false;
  $("video").srcObject = stream;
  await $("video").play();
}

function closeCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("camera").hidden = true;
}

function shoot() {
  const video = $("video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  closeCamera();
  canvas.toBlob((blob) => take(new File([blob], "webcam.jpg", { type: blob.type })), "image/jpeg", 0.95);
}

// Starting.

function showLicence() {
  const model = state.models.find((item) => item.name === $("model").value);
  $("licence").textContent = model ? `${model.description} ${model.licence}.` : "";
}

async function start() {
  const [models, tables] = await Promise.all(
    ["/v1/models", "/v1/colormaps"].map((address) => fetched(address).then((r) => r.json())),
  );
  state.models = models.models.filter((model) => model.is_installed || model.is_default);
  state.tables = tables;
  $("model").replaceChildren(...state.models.map(({ name }) => new Option(name, name)));
  $("colormap").replaceChildren(...Object.keys(tables).map((name) => new Option(name, name)));
  showLicence();
  resumeJob();
}

const NARROW = window.matchMedia("(max-width: 760px)"); // as in style.css

/** On a phone the image comes first, and settings on demand; else they are always there. */
function foldSettings() {
  $("settings").open = !NARROW.matches;
}

function wire() {
  foldSettings();
  NARROW.addEventListener("change", foldSettings);
  $("levers").addEventListener("submit", (event) => event.preventDefault());
  $("file").addEventListener("change", (event) => take(event.target.files[0]));
  $("job-end").addEventListener("click", dropJob);
  $("webcam").addEventListener("click", openCamera);
  $("stop").addEventListener("click", closeCamera);
  $("shoot").addEventListener("click", shoot);
  for (const name of ["model", "input_size", "fov_deg", "focal_px", "camera_height_m", "max_jump"]) {
    document.querySelector(`[name="${name}"]`).addEventListener("change", find);
  }
  $("model").addEventListener("change", showLicence);
  $("guided").addEventListener("change", find);
  $("known-length").addEventListener("change", useLength);
  $("forget-length").addEventListener("click", () => {
    forgetLength();
    find();
  });
  for (const id of ["colormap", "equalise"]) {
    $(id).addEventListener("change", () => {
      recolor();
      linkColors();
    });
  }
  $("slider").addEventListener("input", draw);
  $("map").addEventListener("pointermove", hover);
  $("map").addEventListener("click", click);
  window.addEventListener("resize", draw);
  document.addEventListener("paste", (event) => take(event.clipboardData?.files[0]));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") take(event.dataTransfer.files[0]);
    });
  }
}

wire();
start().catch((error) => say(error.message, true));
