// Videos, folders as ZIP, and bags: sent as a job, watched, and taken away.

import { asBytes } from "/page/depth_map.js";

const $ = (id) => document.getElementById(id);
const IMAGES = ["image/jpeg", "image/png", "image/webp", "image/tiff"];
const LOOK_MS = 1000;
const KEPT = "mono-depth job"; // so that the page may be loaded anew meanwhile
const ENDED = ["done", "failed"];

let current = null; // {address, name}
let upload = null;

/** Whether a file is for a job, and not an image for an answer at once. */
export function isForJob(file) {
  return !IMAGES.includes(file.type) && !file.type.startsWith("image/");
}

/** Send a file as a job; `levers` are FormData of which the names that jobs know are taken. */
export function startJob(file, levers) {
  upload?.abort();
  current = null; // an earlier job goes on, and its results stay for their time
  const query = new URLSearchParams();
  for (const name of ["model", "input_size", "fov_deg", "camera_height_m", "every"]) {
    if (levers.get(name)) query.set(name, levers.get(name));
  }
  query.set("colormap", $("colormap").value);
  if ($("guided").checked) query.set("refine", "guided");
  const kinds = [...document.querySelectorAll("#kinds input:checked")].map((box) => box.value);
  if (kinds.length) query.set("save", kinds.join(","));
  if (!kinds.length || kinds.includes("mp4")) query.set("beside", "true");
  showPanel(file.name);
  tell("Sending …", 0);
  upload = new XMLHttpRequest();
  upload.open("POST", `/v1/jobs?${query}`);
  upload.setRequestHeader("Content-Type", "application/octet-stream");
  upload.responseType = "json";
  upload.upload.onprogress = (event) => {
    if (event.lengthComputable) tell(`Sending … ${asBytes(event.loaded)}`, event.loaded / event.total);
  };
  upload.onload = () => {
    const { status, response } = upload;
    upload = null;
    if (status === 202) {
      current = { address: response.links.self, name: file.name };
      sessionStorage.setItem(KEPT, JSON.stringify(current));
      watch(current);
    } else {
      fail(response?.error?.message ?? `status ${status}`);
    }
  };
  upload.onerror = () => {
    upload = null;
    fail("The connection ended.");
  };
  upload.send(file);
}

/** Go on with the job of before the page was loaded anew. */
export function resumeJob() {
  const kept = sessionStorage.getItem(KEPT);
  if (!kept) return;
  current = JSON.parse(kept);
  showPanel(current.name);
  watch(current);
}

async function watch(job) {
  while (job === current) {
    let response = null;
    try {
      response = await fetch(job.address);
    } catch {
      tell("The server does not answer …", null); // it may come back
    }
    if (job !== current) return;
    if (response?.status === 404) {
      fail("The job is no longer there.");
      return;
    }
    if (response?.ok) {
      const state = await response.json();
      if (job !== current) return;
      show(state);
      if (ENDED.includes(state.state)) return;
    }
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
}

function show(state) {
  const { progress, account } = state;
  const of = progress.expected ? ` of ${progress.expected}` : "";
  const texts = {
    waiting: `Waiting; ${state.jobs_before} before it.`,
    running: progress.frames ? `${progress.frames}${of} frames` : "Loading …",
    done: "Done.",
    failed: `Failed: ${state.reason}`,
  };
  tell(texts[state.state] ?? state.state, state.state === "waiting" ? 0 : progress.share);
  $("job-status").classList.toggle("bad", state.state === "failed");
  const counts = ["found", "done", "failed", "skipped"].map((name) => `${name} ${account[name]}`);
  $("job-account").textContent = account.found ? counts.join(", ") : "";
  const reasons = [...Object.entries(state.failed), ...Object.entries(state.skipped)];
  $("job-problems").replaceChildren(
    ...reasons.map(([name, reason]) => item(`${name}: ${reason}`)),
    ...state.notes.map(item),
  );
  $("job-end").textContent = ENDED.includes(state.state) ? "Remove it from the server" : "Cancel";
  if (ENDED.includes(state.state) && account.done) showFiles(state);
}

const item = (text) => Object.assign(document.createElement("li"), { textContent: text });

async function showFiles(state) {
  const stem = current.name.replace(/\.[^.]*$/, "");
  const whole = linkTo(state.links.zip, `${stem}_depth.zip`, `all files as ZIP, ${asBytes(state.bytes)}`);
  whole.dataset.file = "results.zip";
  const minutes = Math.ceil(state.expires_in_s / 60);
  $("job-files").replaceChildren(whole, ` (kept for ${minutes} minutes at most)`);
  const response = await fetch(state.links.files);
  if (!response.ok) return;
  const { files } = await response.json();
  for (const { name, bytes } of files.filter((file) => !file.name.includes("/"))) {
    const link = linkTo(`${state.links.files}/${name}`, `${stem}_${name}`, name);
    link.dataset.file = name;
    $("job-files").append(document.createElement("br"), link, `, ${asBytes(bytes)}`);
  }
  if (files.some(({ name }) => name === "color.mp4")) {
    $("job-video").src = `${state.links.files}/color.mp4`;
    $("job-video").hidden = false;
  }
}

function linkTo(address, download, text) {
  return Object.assign(document.createElement("a"), { href: address, download, textContent: text });
}

function showPanel(name) {
  $("job").hidden = false;
  $("job-name").textContent = name;
  $("job-account").textContent = "";
  $("job-files").replaceChildren();
  $("job-problems").replaceChildren();
  $("job-video").hidden = true;
  $("job-video").removeAttribute("src");
  $("job-end").textContent = "Cancel";
}

function tell(text, share) {
  $("job-status").textContent = text;
  $("job-status").classList.remove("bad");
  if (share === null || share === undefined) $("job-progress").removeAttribute("value");
  else $("job-progress").value = share;
}

function fail(text) {
  tell(text, 0);
  $("job-status").classList.add("bad");
  sessionStorage.removeItem(KEPT);
  current = null;
}

/** End the job, wherever it is, and remove it from the server. */
export async function dropJob() {
  upload?.abort();
  upload = null;
  const job = current;
  current = null;
  sessionStorage.removeItem(KEPT);
  $("job").hidden = true;
  if (job) await fetch(job.address, { method: "DELETE" }).catch(() => {});
}
