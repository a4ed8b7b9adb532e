// Shows the newest frame of what runs: is told what is new, and fetches what it has time for.

import { ColorScale, asText, drawLegend, paint, readNpy } from "/page/depth_map.js";
import { drawTop } from "/page/top_view.js";

const $ = (id) => document.getElementById(id);
const OLD_S = 2; // a frame that is older is not shown as if it were the newest
const BOXES = { points: "show-points", scan: "show-scan", landmarks: "show-landmarks" };

const state = {
  source: null,
  tables: {},
  summary: null,
  shown: {}, // number of the message of each channel that is shown
  busy: {}, // channels that are being fetched
  depth: null,
  scale: null,
  top: { points: null, scan: null, landmarks: null },
};

const readers = {
  camera: async (response) => showCamera(await createImageBitmap(await response.blob())),
  depth: async (response) => showDepth(readNpy(await response.arrayBuffer())),
  points: async (response) => keepTop("points", readNpy(await response.arrayBuffer())),
  landmarks: async (response) => keepTop("landmarks", readNpy(await response.arrayBuffer())),
  scan: async (response) => keepTop("scan", await response.json()),
  status: async (response) => showState(await response.json()),
};

const wanted = () =>
  Object.keys(readers).filter((name) => !(name in BOXES) || $(BOXES[name]).checked);

function connect() {
  state.source?.close();
  const source = new EventSource(`/live/events?channels=${wanted().join(",")}`);
  state.source = source;
  source.onmessage = (event) => {
    state.summary = JSON.parse(event.data);
    tell();
    for (const name of wanted()) fetchNewest(name);
  };
  source.onerror = () => {
    $("status").textContent = "The connection is gone; trying again …";
    $("status").classList.add("bad");
  };
}

async function fetchNewest(name) {
  const told = state.summary.channels[name];
  if (!told || state.busy[name] || told.seq === state.shown[name] || document.hidden) return;
  state.busy[name] = true;
  try {
    const response = await fetch(`/live/${name}`);
    if (response.status === 200) {
      state.shown[name] = Number(response.headers.get("X-Seq"));
      await readers[name](response);
    }
  } catch {
    // the next one will do
  } finally {
    state.busy[name] = false;
  }
}

function tell() {
  const { channels } = state.summary;
  const ages = Object.values(channels).map((channel) => channel.age_s);
  const isOld = !ages.length || Math.min(...ages) > OLD_S;
  $("status").classList.toggle("bad", isOld);
  $("status").textContent = !ages.length
    ? "Nothing has come yet."
    : isOld
      ? `Nothing new for ${Math.min(...ages).toFixed(0)} s: what is shown is old.`
      : `Live. ${state.summary.viewers} looking.`;
  document.body.classList.toggle("old", isOld);
  for (const name of ["camera", "depth", "points"]) {
    const channel = channels[name];
    const rate = channel?.rate_hz ? `${channel.rate_hz.toFixed(1)} Hz` : "";
    $(`${name}-rate`).textContent = channel && channel.age_s > OLD_S ? "old" : rate;
  }
  for (const name of Object.keys(state.top)) {
    if (state.top[name] && (!channels[name] || channels[name].age_s > OLD_S)) keepTop(name, null);
  }
}

function showCamera(image) {
  const canvas = $("camera");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").drawImage(image, 0, 0);
  image.close();
}

function showDepth(map) {
  state.depth = map;
  const fresh = new ColorScale(map.values, false);
  const { scale } = state; // it follows slowly: colours that flicker tell nothing
  if (scale && !fresh.isEmpty) {
    const mix = (old, now) => Math.exp(0.8 * Math.log(old) + 0.2 * Math.log(now));
    fresh.near = mix(scale.near, fresh.near);
    fresh.far = mix(scale.far, fresh.far);
  }
  state.scale = fresh.isEmpty && scale ? scale : fresh;
  const canvas = $("depth");
  [canvas.width, canvas.height] = [map.width, map.height];
  const table = state.tables[$("colormap").value];
  canvas.getContext("2d").drawImage(paint(map, state.scale, table), 0, 0);
  drawLegend($("scale"), state.scale, table, "m", canvas.clientHeight);
}

function hover(event) {
  if (!state.depth) return;
  const box = $("depth").getBoundingClientRect();
  const { width, height, values } = state.depth;
  const at = (share, count) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
  const column = at((event.clientX - box.left) / box.width, width);
  const row = at((event.clientY - box.top) / box.height, height);
  const depth = values[row * width + column];
  $("hover").textContent = Number.isNaN(depth) ? "depth unknown" : `${asText(depth)} m`;
}

function keepTop(name, content) {
  state.top[name] = content;
  requestAnimationFrame(() => drawTop($("top"), state.top));
}

function showState(rows) {
  const body = document.createElement("tbody");
  for (const [name, value] of Object.entries(rows)) {
    const row = body.insertRow();
    row.append(Object.assign(document.createElement("th"), { textContent: name }));
    row.insertCell().textContent = value;
  }
  $("statistics").replaceChildren(body);
}

async function start() {
  const [about, tables] = await Promise.all(
    ["/live/about", "/v1/colormaps"].map((address) => fetch(address).then((r) => r.json())),
  );
  state.tables = tables;
  $("title").textContent = `live: ${about.title}`;
  $("colormap").replaceChildren(...Object.keys(tables).map((name) => new Option(name, name)));
  connect();
}

$("pause").addEventListener("click", () => {
  const isPaused = state.source === null;
  $("pause").textContent = isPaused ? "Pause" : "Go on";
  if (isPaused) connect();
  else {
    state.source.close();
    state.source = null;
    $("status").textContent = "Paused.";
  }
});
for (const [name, box] of Object.entries(BOXES)) {
  $(box).addEventListener("change", () => {
    if (!$(box).checked) keepTop(name, null);
    state.shown[name] = 0;
    if (state.source) connect();
  });
}
$("depth").addEventListener("pointermove", hover);
window.addEventListener("resize", () => drawTop($("top"), state.top));
start().catch((error) => {
  $("status").textContent = error.message;
});
