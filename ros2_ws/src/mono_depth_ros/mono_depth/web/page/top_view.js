// Cloud, scan and landmarks from above: x ahead is up, y left is left, in metres.

import { asText } from "/page/depth_map.js";

const RINGS_M = [1, 2, 5, 10, 20, 50];
const LEAST_REACH_M = 2;

/** Draw what there is; each of points, landmarks ((N, 3) arrays) and scan may be null. */
export function drawTop(canvas, { points, scan, landmarks }) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = Math.round(0.75 * width);
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const reach = reachOf(points, scan);
  const origin = [width / 2, height - 18];
  const pixels = (height - 30) / reach;
  const place = (ahead, left) => [origin[0] - left * pixels, origin[1] - ahead * pixels];
  const ink = getComputedStyle(document.body).color;
  drawRings(context, origin, pixels, reach, ink);
  if (points) drawPoints(context, points.values, place);
  if (landmarks) {
    context.fillStyle = "#e8871e";
    context.strokeStyle = "#000";
    each(landmarks.values, (x, y) => {
      const [column, row] = place(x, y);
      context.beginPath();
      context.arc(column, row, 3.5, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    });
  }
  if (scan) drawScan(context, scan, place);
  context.fillStyle = ink;
  context.beginPath();
  context.moveTo(origin[0], origin[1] - 8);
  context.lineTo(origin[0] + 5, origin[1] + 4);
  context.lineTo(origin[0] - 5, origin[1] + 4);
  context.fill();
}

function each(values, take) {
  for (let i = 0; i + 2 < values.length; i += 3) take(values[i], values[i + 1], values[i + 2]);
}

/** The distance ahead that most of it lies within. */
function reachOf(points, scan) {
  const ahead = [];
  if (points) each(points.values, (x) => ahead.push(x));
  else if (scan) ahead.push(...scan.ranges_m.filter((range) => range !== null));
  if (!ahead.length) return 5;
  ahead.sort((a, b) => a - b);
  const most = ahead[Math.floor(0.97 * (ahead.length - 1))];
  return RINGS_M.find((ring) => ring >= most) ?? Math.max(LEAST_REACH_M, most);
}

function drawRings(context, origin, pixels, reach, ink) {
  context.strokeStyle = "rgba(128,128,128,.35)";
  context.fillStyle = ink;
  context.font = "11px system-ui, sans-serif";
  const step = [0.5, 1, 2, 5, 10].find((metres) => reach / metres <= 5) ?? 20;
  for (let metres = step; metres <= reach + 1e-6; metres += step) {
    context.beginPath();
    context.arc(...origin, metres * pixels, Math.PI, 2 * Math.PI);
    context.stroke();
    context.fillText(`${asText(metres)} m`, origin[0] + 4, origin[1] - metres * pixels + 12);
  }
}

/** Points by height: blue is low, red is high. */
function drawPoints(context, values, place) {
  let [low, high] = [Infinity, -Infinity];
  each(values, (x, y, z) => {
    low = Math.min(low, z);
    high = Math.max(high, z);
  });
  const span = Math.max(0.5, high - low);
  each(values, (x, y, z) => {
    const [column, row] = place(x, y);
    context.fillStyle = `hsl(${240 - (240 * (z - low)) / span} 75% 50% / .6)`;
    context.fillRect(column - 0.75, row - 0.75, 1.5, 1.5);
  });
}

function drawScan(context, scan, place) {
  context.fillStyle = "#e11d48";
  scan.ranges_m.forEach((range, index) => {
    if (range === null) return;
    const bearing = scan.start_rad + index * scan.step_rad;
    const [column, row] = place(range * Math.cos(bearing), range * Math.sin(bearing));
    context.fillRect(column - 1.5, row - 1.5, 3, 3);
  });
}
